//! Linux.

mod guest_calls;
mod landlock;
#[expect(unsafe_code, reason = "mmap, munmap, and the slice over what they map")]
mod mapped_file;
#[expect(unsafe_code, reason = "_exit and close_range are unsafe to call")]
mod process;
mod restrict;
mod seccomp;
#[expect(unsafe_code, reason = "sigaction, and what a handler may call")]
mod signals;

#[expect(
    unsafe_code,
    reason = "setitimer, sigaction, and what a handler may call"
)]
mod timers;
mod untouched;

pub use mapped_file::MappedFile;
pub use process::{
    Process, allow_open_files, close_inherited_files, create_private_dir_all, exit_now, is_root,
    is_stopped, leave_session,
};
pub use restrict::restrict;
pub use signals::{end_on_signals, ring_on_signals};
pub use timers::{end_after, step_epochs};
pub use untouched::is_untouched;
