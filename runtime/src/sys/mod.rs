//! Calls to the operating system, and the only room of this crate with `unsafe` code of its own.
//!
//! Each platform's folder has the same functions under the same names. What a platform cannot do is said in the result,
//! never left out in silence.

mod ending;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "tokio asks its caller to keep a watched descriptor open"
)]
mod readiness;
mod restriction;
mod signal;
mod usage;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

pub use ending::Ending;
#[cfg(target_os = "linux")]
pub use linux::{user, user_and_group};
pub use platform::{
    MappedFile, Process, allow_open_files, close_inherited_files, create_private_dir_all,
    end_after, end_on_signals, end_with_parent, exit_now, is_root, is_stopped, is_untouched,
    leave_session, memory, restrict, ring_on_signals, standard_input, step_epochs, uptime, usage,
    without_administration,
};
#[cfg(target_os = "linux")]
pub use platform::{
    Pty, RawTerminal, control_terminal, hear_resizes, open_terminal, pass_signals_on,
    set_window_size, window_size,
};
#[cfg(unix)]
pub use readiness::{Readiness, is_readable};
pub use restriction::{Applied, Place, Ports, Reach, RestrictError, Restricted, Sockets};
pub use signal::{InvalidSignal, Signal};
pub use usage::Usage;

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}
