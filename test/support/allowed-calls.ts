// An allow list for block_all as a site might write it: what the launcher, Node, bash, coreutils and git need, on this
// and on older systems. Without getpriority, so that tests have a call that is refused.

export const ALLOWED_FOR_BASH: readonly string[] = `
  access arch_prctl brk capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep clone clone3 close
  close_range connect copy_file_range dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2
  execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchown fcntl
  fdatasync flock fork fstat fstatfs fsync ftruncate futex getcwd getdents64 getegid geteuid getgid getgroups
  getitimer getpeername getpgid getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage getsid
  getsockname getsockopt gettid gettimeofday getuid getxattr io_uring_enter io_uring_register io_uring_setup
  ioctl kill lgetxattr link linkat lseek lstat madvise membarrier memfd_create mincore mkdir mkdirat mmap
  mprotect mremap munmap nanosleep newfstatat open openat pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
  poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read readlink readlinkat readv recvfrom recvmsg rename
  renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend
  rt_sigtimedwait sched_getaffinity sched_getparam sched_getscheduler sched_setaffinity sched_yield select
  sendmsg sendto set_robust_list set_tid_address setitimer setpgid setrlimit setsid setsockopt shutdown
  sigaltstack socket socketpair splice stat statfs statx symlink symlinkat sysinfo tgkill time umask uname
  unlink unlinkat utimensat vfork wait4 waitid write writev
`
  .trim()
  .split(/\s+/);
