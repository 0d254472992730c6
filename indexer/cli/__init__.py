"""Commands that write a library, and the `clew` command group."""
