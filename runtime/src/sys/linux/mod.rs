//! Linux.

#[expect(
    unsafe_code,
    reason = "clone3, the mount interface, prctl, terminals and descriptors in messages"
)]
pub(crate) mod container;
#[expect(unsafe_code, reason = "bpf(2) takes pointers to the program")]
pub(crate) mod device_filter;
mod guest_calls;
mod landlock;
#[expect(unsafe_code, reason = "mmap, munmap, and the slice over what they map")]
mod mapped_file;
#[expect(unsafe_code, reason = "_exit and close_range are unsafe to call")]
mod process;
mod restrict;
pub(crate) mod seccomp;
#[expect(unsafe_code, reason = "sigaction, and what a handler may call")]
mod signals;

#[expect(unsafe_code, reason = "ioctl, termios, and what a handler may call")]
mod terminal;
#[expect(
    unsafe_code,
    reason = "setitimer, sigaction, and what a handler may call"
)]
mod timers;
mod untouched;
mod usage;

pub use mapped_file::MappedFile;
pub use process::{
    Process, allow_open_files, close_inherited_files, create_private_dir_all, end_with_parent,
    exit_now, is_root, is_stopped, leave_session, standard_input, user, user_and_group,
    without_administration,
};
pub use restrict::restrict;
pub use signals::{end_on_signals, ring_on_signals};
pub use terminal::{
    Pty, RawTerminal, control_terminal, hear_resizes, open_terminal, pass_signals_on,
    set_window_size, window_size,
};
pub use timers::{end_after, step_epochs};
pub use untouched::is_untouched;
pub use usage::{memory, uptime, usage};
