//! What differs between systems, under the same names on each.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use other::{
    Source, Wake, address_space, cpu_time, most_open_files, trust_problem, write_stderr,
    write_stdout,
};
#[cfg(unix)]
pub(super) use unix::{
    Source, Wake, address_space, cpu_time, most_open_files, trust_problem, write_stderr,
    write_stdout,
};
