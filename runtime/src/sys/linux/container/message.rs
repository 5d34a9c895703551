//! Messages that carry one descriptor (unix(7), SCM_RIGHTS).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Room for one control message with one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 24]);

fn header(bytes: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: msghdr is plain memory, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = bytes;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    header
}

/// Sends text, which must not be empty, and a descriptor.
pub(crate) fn send_with_file(
    socket: BorrowedFd<'_>,
    text: &[u8],
    file: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut bytes = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    let mut control = Control([0; 24]);
    let header = header(&mut bytes, &mut control);
    // SAFETY: `control` has room for one header and one int (CMSG_SPACE of 4 is 24 bytes on 64-bit systems), to which CMSG_FIRSTHDR and
    // CMSG_DATA point. sendmsg reads what the headers name, all of which lives through the call, and writes none of it.
    check(unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(first)
            .cast::<RawFd>()
            .write_unaligned(file.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) as i64
    })
    .map(drop)
}

/// Receives text into `text`, and a descriptor if one comes along. Zero bytes: the other end is closed.
pub(crate) fn receive_with_file(
    socket: BorrowedFd<'_>,
    text: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut bytes = libc::iovec {
        iov_base: text.as_mut_ptr().cast(),
        iov_len: text.len(),
    };
    let mut control = Control([0; 24]);
    let mut header = header(&mut bytes, &mut control);
    let length = loop {
        // SAFETY: recvmsg writes at most as many bytes as the iovec and the control buffer have.
        match check(unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) as i64
        }) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => break result?,
        }
    };
    // SAFETY: the kernel has filled in the header; CMSG_FIRSTHDR is null unless a whole control header is there, and for SCM_RIGHTS
    // with the length of one int its data is one new descriptor. More than one does not fit, and the kernel then closes the others.
    let file = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        if first.is_null()
            || (*first).cmsg_level != libc::SOL_SOCKET
            || (*first).cmsg_type != libc::SCM_RIGHTS
            || (*first).cmsg_len != libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize
        {
            None
        } else {
            Some(OwnedFd::from_raw_fd(
                libc::CMSG_DATA(first).cast::<RawFd>().read_unaligned(),
            ))
        }
    };
    Ok((usize::try_from(length).map_err(io::Error::other)?, file))
}
