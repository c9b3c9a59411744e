"""The system calls that a worker needs, with their numbers on x86_64 and aarch64.

The numbers come from the headers of Linux 6.1 and never change. None means that the architecture
lacks the call.
"""

from collections.abc import Mapping

Numbers = Mapping[str, tuple[int | None, int | None]]

_READING: Numbers = {
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "preadv": (295, 69), "close": (3, 57),
    "close_range": (436, 436), "open": (2, None), "openat": (257, 56), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "lseek": (8, 62), "getdents": (78, None), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "fcntl": (72, 25), "ioctl": (16, 29), "statfs": (137, 43), "fstatfs": (138, 44),
    "fadvise64": (221, 223), "flock": (73, 32), "write": (1, 64), "writev": (20, 66),
    "pwrite64": (18, 68),
}  # fmt: skip
"""Calls on open files, and opening files for reading."""
_MEMORY: Numbers = {
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "msync": (26, 227), "mincore": (27, 232),
    "futex": (202, 98), "membarrier": (324, 283),
}  # fmt: skip
_PROCESS: Numbers = {
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getresuid": (118, 148), "getresgid": (120, 150),
    "getgroups": (115, 158), "uname": (63, 160), "sysinfo": (99, 179), "getrusage": (98, 165),
    "times": (100, 153), "getrlimit": (97, 163), "prlimit64": (302, 261),
    "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "getcpu": (309, 168), "prctl": (157, 167), "tgkill": (234, 131), "kill": (62, 129),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""Calls about the worker's own process. None creates a process or a thread."""
_WAITING: Numbers = {
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, None), "getrandom": (318, 278),
}  # fmt: skip
WRITING: Numbers = {
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "ftruncate": (77, 46), "truncate": (76, 45), "fsync": (74, 82),
    "fdatasync": (75, 83),
}  # fmt: skip
"""Calls that change files, allowed only if the worker may write to its folder."""
PROGRAMS: Numbers = {
    "execve": (59, 221), "arch_prctl": (158, None), "set_tid_address": (218, 96),
    "getpgrp": (111, None), "umask": (95, 166),
}  # fmt: skip
"""Calls that replace the process by a program, and that the C library makes at its start. Allowed
only if the worker may become a program."""
NEEDED: Numbers = {**_READING, **_MEMORY, **_PROCESS, **_WAITING}
MACHINES = ("x86_64", "aarch64")
