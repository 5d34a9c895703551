//! How a process ends that is ended from outside.

/// The last things that a process does when its time is over. Made ahead: they are done in a signal handler.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The process' exit code.
    pub code: u8,
    /// The line for the container's record.
    pub record: Vec<u8>,
    /// What is written to standard error.
    pub message: Vec<u8>,
}
