"""Requests and names that attack a server: paths, addresses, origins, markup."""

from collections.abc import Sequence
from itertools import product

# Ways to write "../" that servers, proxies and file systems have decoded.
STEPS = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%5c",
    "..\\",
    "%252e%252e%252f",
    "..%255c",
    "..%c0%af",
    "%c0%ae%c0%ae/",
    "%uff0e%uff0e/",
    "....//",
    "..;/",
    "..%00/",
    "./../",
    ".%2e/",
    "..//",
    "..%ef%bc%8f",
    "%e2%80%a5/",
    "x/../../",
)
# The route of a file, a segment, and none; {} is the path.
ROUTES = ("/page/{}", "/api/segments/{}/media", "/api/segments/{}/thumbnail", "/api/segments/{}", "/{}")
DEPTH = 12


def traversals(secret: str, source: str) -> list[str]:
    """Return 208 request targets that lead to a file by its absolute path, or to a source of the server."""
    up_to_root = [route.format(step * DEPTH + secret.lstrip("/")) for route, step in product(ROUTES, STEPS)]
    up_to_source = [route.format(step * 2 + source) for route, step in product(ROUTES, STEPS)]
    plain = [route.format(path) for route in ROUTES[:4] for path in (secret, f"file:{secret}")]
    return [*up_to_root, *up_to_source, *plain]


def inner_addresses(port: int, secret: str) -> dict[str, str]:
    """Return a name and the text of 15 addresses that a server must not read; most lead to a port of it."""
    return {
        "loopback": f"http://127.0.0.1:{port}/a.png",
        "name": f"http://localhost:{port}/a.png",
        "ipv6": f"http://[::1]:{port}/a.png",
        "mapped ipv6": f"http://[::ffff:127.0.0.1]:{port}/a.png",
        "any address": f"http://0.0.0.0:{port}/a.png",
        "decimal": f"http://2130706433:{port}/a.png",
        "hexadecimal": f"http://0x7f000001:{port}/a.png",
        "octal": f"http://0177.0.0.1:{port}/a.png",
        "short": f"http://127.1:{port}/a.png",
        "user name": f"http://example.org@127.0.0.1:{port}/a.png",
        "redirection": f"http://127.0.0.1:{port}/redirect?to=http://169.254.169.254/latest/meta-data/",
        "link-local": "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "file": f"file://{secret}",
        "gopher": f"gopher://127.0.0.1:{port}/_GET%20/%20HTTP/1.0%0d%0a",
        "data": f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'>"
        f"<image href='http://127.0.0.1:{port}/a.png' width='9' height='9'/></svg>",
    }


def foreign_headers(port: int) -> list[Sequence[tuple[str, str]]]:
    """Return the headers of 32 requests that other sites make: rebound names, forged origins, embedding."""
    own = ("Host", f"127.0.0.1:{port}")
    hosts = (
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"127.0.0.1:{port}@evil.example",
        f"evil.example#127.0.0.1:{port}",
        f"127.0.0.1:{port}/evil.example",
        f"2130706433:{port}",
        f"0x7f.1:{port}",
        f"127.1:{port}",
        f"0.0.0.0:{port}",
        f"[::2]:{port}",
        f"192.168.1.5:{port}",
        "127.0.0.1:99999",
        f"127.0.0.1:{port},evil.example",
    )
    origins = (
        "http://evil.example",
        f"http://evil.example:{port}",
        "null",
        "file://",
        "http://127.0.0.1",
        "http://127.0.0.1:3000",
        f"http://localhost:{port}",
        f"http://127.0.0.1:{port}.evil.example",
        f"http://127.0.0.1:{port}/",
        f"http://user@127.0.0.1:{port}",
        f"ws://127.0.0.1:{port}",
    )
    rebound = f"evil.example:{port}"
    return [
        *([("Host", host)] for host in hosts),
        *([own, ("Origin", origin)] for origin in origins),
        [("Host", rebound), ("Origin", f"http://{rebound}")],
        [own, ("Host", "evil.example")],
        [own, ("Origin", f"http://127.0.0.1:{port}"), ("Origin", "http://evil.example")],
        [own, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
        [own, ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")],
        [own, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
    ]


# Markup that runs `alert(1)` where a name or a caption is inserted without being escaped.
_ELEMENTS = (
    "<script>alert(1)</script>",
    "<ScRiPt>alert(1)</sCrIpT>",
    "<script src=//127.0.0.1:9/x.js></script>",
    "<scr<script>ipt>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<IMG SRC=x OnErRoR=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src=x:x onerror=alert(1) //",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<body onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<iframe src=javascript:alert(1)>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)>",
    "<textarea autofocus onfocus=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src=x onerror=alert(1)>",
    "<a href=javascript:alert(1)>a</a>",
    "<form action=javascript:alert(1)><button>b</button></form>",
    "<base href=//127.0.0.1:9/>",
    "<link rel=stylesheet href=//127.0.0.1:9/x.css>",
    "<meta http-equiv=refresh content=0;url=javascript:alert(1)>",
    "<style>@import'//127.0.0.1:9/x.css'</style>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<isindex type=image src=1 onerror=alert(1)>",
)
_ENDS = (
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "`><img src=x onerror=alert(1)>",
    "--><img src=x onerror=alert(1)>",
    "]]><img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "</textarea><svg onload=alert(1)>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "*/alert(1)/*",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    '" style="background:url(//127.0.0.1:9/)',
    '";alert(1);//',
    "';alert(1);//",
    "${alert(1)}",
    "{{constructor.constructor('alert(1)')()}}",
    "#{alert(1)}",
    "<%= alert(1) %>",
)
_ENCODED = (
    "javascript:alert(1)",
    "&lt;img src=x onerror=alert(1)&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "%3Cimg%20src=x%20onerror=alert(1)%3E",
    "\\u003cimg src=x onerror=alert(1)\\u003e",
    "\u2028<img src=x onerror=alert(1)>",
    "\u202e<img src=x onerror=alert(1)>",
    "＜img src=x onerror=alert(1)＞",
)
MARKUP = (*_ELEMENTS, *_ENDS, *_ENCODED)  # 61 texts
