"""Exit statuses. The unit file lets systemd start the program anew on RESTART, and on nothing else it says itself."""

OK = 0
FAILED = 1  # it could not do what it was asked; the reason was told
USAGE = 2  # settings that may not start; a restart would not help
RESTART = 75  # EX_TEMPFAIL of sysexits.h: a new start may help
