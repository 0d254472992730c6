/* Count, fail or record the durable operations of a process and its children below a folder (LD_PRELOAD).

   All processes map the same control block, the file named by FAULTS_CONTROL. A lock in it makes the order of
   the operations total. SQLite's shared-memory files (-shm) are not durable and are left out. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NONE, KILL_BEFORE, KILL_AFTER, KILL_WITHIN, FAIL, SHORT };
enum kind { /* `Kind` in record.py is equal */
    CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK, MARK
};

struct control { /* `Control` in interpose.py is equal */
    uint32_t action, error;
    uint64_t first, last; /* numbers of the operations with the fault, from 1 */
    uint64_t count, injected;
    uint32_t lock, is_recorded;
    char folder[512], record[512];
};

struct header { /* `_HEADER` in record.py is equal */
    uint32_t kind, path_size, other_size, padding;
    uint64_t number, inode, size;
    int64_t offset;
};

struct operation {
    enum kind kind;
    const char *path, *other; /* other: the new name */
    const struct iovec *parts; /* of a write */
    int part_count, fd;
    int64_t offset;
    uint64_t size;
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
    const char *name = getenv("FAULTS_CONTROL");
    if (name == NULL) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static void lock(void) {
    while (__atomic_exchange_n(&control->lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

static void unlock(void) { __atomic_store_n(&control->lock, 0, __ATOMIC_RELEASE); }

static int is_below(const char *path) {
    size_t size = strlen(control->folder), length = strlen(path);
    if (size == 0 || strncmp(path, control->folder, size) != 0) return 0;
    if (path[size] != '/' && path[size] != 0) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

/* Write the absolute path of a name to `path`; return whether it is below the folder. */
static int absolute(int folder, const char *name, char *path) {
    if (control == NULL || control->folder[0] == 0 || name == NULL) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char base[PATH_MAX], link[64];
        if (folder == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            long size = syscall(SYS_readlink, link, base, sizeof base - 1);
            if (size < 0) return 0;
            base[size] = 0;
        }
        if (strlen(base) + strlen(name) + 2 > PATH_MAX) return 0;
        strcpy(path, base);
        strcat(path, "/");
        strcat(path, name);
    }
    return is_below(path);
}

/* Write the path of an open file or folder to `path`; return whether it is below the folder. */
static int path_of(int fd, char *path) {
    if (control == NULL || control->folder[0] == 0) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_below(path);
}

static uint64_t inode_of(const struct operation *op) {
    struct stat status;
    if (op->fd >= 0 ? fstat(op->fd, &status) : lstat(op->path, &status)) return 0;
    return status.st_ino;
}

/* Append an operation to the record, within the lock. */
static void record(const struct operation *op, uint64_t size) {
    if (!control->is_recorded) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control->record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    struct header header = {op->kind, op->path ? strlen(op->path) : 0, op->other ? strlen(op->other) : 0, 0,
                            control->count, op->kind == MARK ? 0 : inode_of(op), size, op->offset};
    struct iovec parts[3] = {{&header, sizeof header},
                             {(void *)(op->path ? op->path : ""), header.path_size},
                             {(void *)(op->other ? op->other : ""), header.other_size}};
    syscall(SYS_writev, fd, parts, 3);
    uint64_t left = op->kind == WRITE ? size : 0;
    for (int at = 0; at < op->part_count && left; at++) {
        uint64_t now = op->parts[at].iov_len < left ? op->parts[at].iov_len : left;
        syscall(SYS_write, fd, op->parts[at].iov_base, now);
        left -= now;
    }
    syscall(SYS_close, fd);
}

static void kill_group(void) {
    syscall(SYS_kill, 0, SIGKILL);
    for (;;) pause();
}

static int needs_space(const struct operation *op) {
    return op->kind != UNLINK && op->kind != RMDIR && op->kind != RENAME;
}

/* Lock, count the operation, and return its fault. KILL_BEFORE does not return. */
static enum action begin(const struct operation *op) {
    lock();
    uint64_t number = ++control->count;
    if (control->action == NONE || number < control->first || number > control->last) return NONE;
    if (control->action == FAIL && control->error == ENOSPC && !needs_space(op)) return NONE;
    control->injected++;
    if (control->action == KILL_BEFORE) kill_group();
    return control->action;
}

/* Record a completed operation and unlock; KILL_AFTER and KILL_WITHIN do not return. */
static void end(const struct operation *op, enum action fault, long result) {
    int error = errno;
    if (result >= 0) record(op, op->kind == WRITE ? (uint64_t)result : op->size);
    if (fault == KILL_AFTER || fault == KILL_WITHIN) kill_group();
    unlock();
    errno = error;
}

static long refuse(void) {
    int error = (int)control->error;
    unlock();
    errno = error;
    return -1;
}

/* ------------------------------------------------------------------ open */

static int open_file(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat status;
    int is_durable = (flags & (O_CREAT | O_TRUNC)) && !(flags & O_TMPFILE & ~O_DIRECTORY) &&
                     absolute(folder, name, path);
    if (!is_durable) return (int)syscall(SYS_openat, folder, name, flags, mode);
    int exists = stat(path, &status) == 0;
    if (exists && !((flags & O_TRUNC) && status.st_size))
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    struct operation op = {.kind = exists ? TRUNCATE : CREATE, .path = path, .fd = -1};
    enum action fault = begin(&op);
    if (fault == FAIL || fault == SHORT) return (int)refuse();
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    op.fd = fd;
    end(&op, fault, fd);
    return fd;
}

#define OPEN_MODE                                         \
    mode_t mode = 0;                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                  \
        va_list rest;                                     \
        va_start(rest, flags);                            \
        mode = va_arg(rest, mode_t);                      \
        va_end(rest);                                     \
    }

int open(const char *name, int flags, ...) { OPEN_MODE return open_file(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN_MODE return open_file(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { OPEN_MODE return open_file(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { OPEN_MODE return open_file(folder, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_file(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

/* ----------------------------------------------------------------- write */

static ssize_t system_write(int fd, const struct iovec *parts, int count, int64_t offset) {
    if (offset < 0) return syscall(SYS_writev, fd, parts, count);
    return syscall(SYS_pwritev, fd, parts, count, (unsigned long)offset, 0UL);
}

static int64_t write_offset(int fd) {
    int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
    return syscall(SYS_lseek, fd, 0L, flags >= 0 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

/* Write the first half of the parts. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, int64_t offset) {
    uint64_t total = 0, left;
    for (int at = 0; at < count; at++) total += parts[at].iov_len;
    ssize_t done = 0;
    left = total / 2;
    for (int at = 0; at < count && left; at++) {
        struct iovec part = {parts[at].iov_base, parts[at].iov_len < left ? parts[at].iov_len : left};
        ssize_t now = system_write(fd, &part, 1, offset < 0 ? -1 : offset + done);
        if (now < 0) return done ? done : now;
        done += now, left -= (uint64_t)now;
    }
    return done;
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, int64_t offset) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return system_write(fd, parts, count, offset);
    struct operation op = {.kind = WRITE, .path = path, .parts = parts, .part_count = count, .fd = fd,
                           .offset = offset < 0 ? write_offset(fd) : offset};
    enum action fault = begin(&op);
    if (fault == FAIL) return refuse();
    int is_half = fault == SHORT || fault == KILL_WITHIN;
    ssize_t result = is_half ? write_half(fd, parts, count, offset) : system_write(fd, parts, count, offset);
    if (fault == SHORT && result <= 0) return refuse();
    end(&op, fault, result);
    return result;
}

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = {(void *)data, size};
    return write_parts(fd, &part, 1, -1);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    return write_parts(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_parts(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return write_parts(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return write_parts(fd, parts, count, offset);
}

/* A copy within the kernel is made by reading and writing, so that its data are recorded. */
static ssize_t copy_data(int out, int in, off64_t *offset, size_t size) {
    static __thread char data[1 << 16];
    size_t now = size < sizeof data ? size : sizeof data;
    ssize_t got = offset ? pread64(in, data, now, *offset) : read(in, data, now);
    if (got <= 0) return got;
    ssize_t done = write(out, data, (size_t)got);
    if (offset && done > 0) *offset += done;
    if (!offset && done >= 0 && done < got) syscall(SYS_lseek, in, (long)(done - got), SEEK_CUR);
    return done;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    char path[PATH_MAX];
    if (!path_of(out, path)) return syscall(SYS_sendfile, out, in, offset, size);
    return copy_data(out, in, (off64_t *)offset, size);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) { return sendfile(out, in, (off_t *)offset, size); }
ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags) {
    char path[PATH_MAX];
    if (path_of(out, path)) {
        errno = EXDEV; /* callers then read and write */
        return -1;
    }
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, size, flags);
}

/* -------------------------------------------------- one call, no partial result */

#define SIMPLE(op_fields, call)                           \
    struct operation op = op_fields;                      \
    enum action fault = begin(&op);                       \
    if (fault == FAIL || fault == SHORT) return (int)refuse(); \
    if (op.kind != MKDIR) op.size = op.kind == TRUNCATE ? op.size : inode_of(&op); \
    int result = (int)(call);                             \
    end(&op, fault, result);                              \
    return result
#define FIELDS(...) {__VA_ARGS__}

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
    SIMPLE(FIELDS(.kind = TRUNCATE, .path = path, .fd = fd, .size = (uint64_t)size), syscall(SYS_ftruncate, fd, size));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int truncate(const char *name, off_t size) {
    char path[PATH_MAX];
    if (!absolute(AT_FDCWD, name, path)) return (int)syscall(SYS_truncate, name, size);
    SIMPLE(FIELDS(.kind = TRUNCATE, .path = path, .fd = -1, .size = (uint64_t)size), syscall(SYS_truncate, name, size));
}
int truncate64(const char *name, off64_t size) { return truncate(name, size); }
int fsync(int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(SYS_fsync, fd);
    SIMPLE(FIELDS(.kind = SYNC, .path = path, .fd = fd), syscall(SYS_fsync, fd));
}
int fdatasync(int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(SYS_fdatasync, fd);
    SIMPLE(FIELDS(.kind = SYNC, .path = path, .fd = fd), syscall(SYS_fdatasync, fd));
}
int renameat2(int from, const char *old, int to, const char *name, unsigned flags) {
    char path[PATH_MAX], other[PATH_MAX];
    int was_below = absolute(from, old, path), is_below_now = absolute(to, name, other);
    if (!was_below && !is_below_now) return (int)syscall(SYS_renameat2, from, old, to, name, flags);
    SIMPLE(FIELDS(.kind = RENAME, .path = path, .other = other, .fd = -1, .offset = flags),
           syscall(SYS_renameat2, from, old, to, name, flags));
}
int renameat(int from, const char *old, int to, const char *name) { return renameat2(from, old, to, name, 0); }
int rename(const char *old, const char *name) { return renameat2(AT_FDCWD, old, AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!absolute(folder, name, path)) return (int)syscall(SYS_unlinkat, folder, name, flags);
    SIMPLE(FIELDS(.kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK, .path = path, .fd = -1),
           syscall(SYS_unlinkat, folder, name, flags));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    int result = unlink(name);
    return result && errno == EISDIR ? rmdir(name) : result;
}
int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!absolute(folder, name, path)) return (int)syscall(SYS_mkdirat, folder, name, mode);
    SIMPLE(FIELDS(.kind = MKDIR, .path = path, .fd = -1), syscall(SYS_mkdirat, folder, name, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
int linkat(int from, const char *old, int to, const char *name, int flags) {
    char path[PATH_MAX], other[PATH_MAX];
    absolute(from, old, path);
    if (!absolute(to, name, other)) return (int)syscall(SYS_linkat, from, old, to, name, flags);
    SIMPLE(FIELDS(.kind = LINK, .path = path, .other = other, .fd = -1),
           syscall(SYS_linkat, from, old, to, name, flags));
}
int link(const char *old, const char *name) { return linkat(AT_FDCWD, old, AT_FDCWD, name, 0); }
/* SQLite is answered that it may not, so that all its writes are seen here. */
int fallocate(int fd, int mode, off_t offset, off_t size) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    errno = EOPNOTSUPP;
    return -1;
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    return fallocate(fd, 0, offset, size) ? errno : 0;
}

/* Record that a transaction is committed. */
void faults_mark(int number) {
    if (control == NULL) return;
    lock();
    struct operation op = {.kind = MARK, .fd = -1, .offset = number};
    record(&op, 0);
    unlock();
}
