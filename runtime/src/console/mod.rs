//! A background program's terminal and standard input, and those who look at them from another process.
//!
//! The process that watches over a container serves a Unix socket in the container's folder. Whoever attaches sends frames: what was
//! typed, that there is no more, how large their terminal is. Where the program has a terminal, what it shows comes back byte for
//! byte; what a program without one says is in its log, which whoever wants it follows.
//!
//! Nobody who is attached can hold a program up for long: what is not taken is kept up to a bound, then the program waits, and
//! who has not taken anything for ten seconds is let go of.

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod frame;
mod keys;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
pub mod server;

#[cfg(target_os = "linux")]
pub use client::{End, attach, send_input};
#[cfg(target_os = "linux")]
pub use frame::Frame;
pub use keys::{DetachKeys, InvalidKeys};
#[cfg(target_os = "linux")]
pub use place::connect;
#[cfg(target_os = "linux")]
pub use server::Console;
