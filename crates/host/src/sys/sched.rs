//! Scheduling policies of threads (sched(7)).

use std::io;

use rustix::process::Pid;

/// What a thread competes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// SCHED_RR at this priority, 1 to 99. Children that the thread forks do not inherit it (as rtkit does, too).
    RoundRobin(u8),
    /// SCHED_OTHER.
    Normal,
}

/// What sched_setscheduler(2) reads.
#[repr(C)]
struct SchedParam {
    priority: libc::c_int,
}

/// Puts one thread of this process under a policy. The system call itself, since the C library's function of the
/// same name refuses or takes a process in some libraries.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_NICE or a sufficient RLIMIT_RTPRIO.
pub(crate) fn set_scheduler(thread: Pid, policy: Policy) -> io::Result<()> {
    let (number, priority) = match policy {
        Policy::RoundRobin(priority) => (libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, priority),
        Policy::Normal => (libc::SCHED_OTHER, 0),
    };
    let param = SchedParam { priority: libc::c_int::from(priority) };
    let thread: libc::pid_t = thread.as_raw_nonzero().get();
    // SAFETY: the arguments are of the types that the kernel expects for this call: a thread id, a policy, and a
    // pointer to a `struct sched_param`, which is one int on Linux. `param` lives until the call returns; the kernel
    // reads through the pointer, does not write through it, and does not keep it. A thread id that has meanwhile gone
    // to another thread is an error or a wrong priority, never a matter of memory.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, number, std::ptr::from_ref(&param)) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
