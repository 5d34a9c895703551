//! Calls to the operating system, and the only room of this crate with `unsafe` code of its own.
//!
//! Each platform's folder has the same functions under the same names. What a platform cannot do is said in the result,
//! never left out in silence.

mod ending;
#[cfg(target_os = "linux")]
mod linux;
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

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

pub use ending::Ending;
pub use platform::{
    MappedFile, Process, allow_open_files, close_inherited_files, create_private_dir_all,
    end_after, end_on_signals, exit_now, is_root, is_stopped, is_untouched, leave_session,
    restrict, ring_on_signals, step_epochs,
};
#[cfg(unix)]
pub use readiness::{Readiness, is_readable};
pub use restriction::{Applied, Place, Ports, Reach, RestrictError, Restricted, Sockets};
pub use signal::{InvalidSignal, Signal};
