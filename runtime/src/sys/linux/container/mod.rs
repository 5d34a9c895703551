//! What a container's launcher asks of the kernel, wrapped: processes in new namespaces, mounts by descriptor, terminals,
//! privileges, messages with descriptors.

mod message;
mod mount;
mod network;
mod privileges;
mod signals;
mod spawn;
mod terminal;

pub(crate) use message::{receive_with_file, send_with_file};
pub(crate) use mount::{
    Attributes, NewFileSystem, clone_tree, enter_new_root, move_mount, set_attributes,
    set_propagation,
};
pub(crate) use network::loopback_up;
pub(crate) use privileges::{
    Sets, clear_ambient, drop_bounding, end_with_parent, join_session_keyring, keep_capabilities,
    last_capability, limit, raise_ambient, reset_signals, set_capabilities, set_domain_name,
    set_dumpable, set_groups, set_host_name, set_ids, set_limit, set_personality, set_umask,
};
pub(crate) use signals::{listen, next_signal};
pub(crate) use spawn::{
    Child, Namespaces, Spawn, claim_inherited, close_from, execute, leave_cgroup_view, pipe,
    replace_standard, signal, spawn, wait_for,
};
pub(crate) use terminal::{become_controlling, set_terminal_size, terminal_peer};

use std::io;

/// What a system call returned, as a result.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
