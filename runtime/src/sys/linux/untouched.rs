//! Whether anything has happened to a directory.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags};

/// Is the directory as it was made: empty, its times those of its making, without attributes of a program's? What the file system
/// does not tell counts as no.
///
/// # Errors
///
/// What the system says.
pub fn is_untouched(dir: &Path) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    let asked = StatxFlags::BTIME | StatxFlags::CTIME | StatxFlags::MTIME;
    let stat = rustix::fs::statx(&dir, c"", AtFlags::EMPTY_PATH, asked)?;
    let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(asked);
    let moment = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
    let made = moment(stat.stx_btime);
    if !told || moment(stat.stx_ctime) != made || moment(stat.stx_mtime) != made {
        return Ok(false);
    }
    // File times go in steps of some milliseconds: what happened within the first is not to be seen in them.
    let mut space = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&dir, &mut space);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    let mut names = [0_u8; 1024];
    let len = match rustix::fs::flistxattr(&dir, &mut names[..]) {
        Ok(len) => len,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let names = names.get(..len).unwrap_or_default();
    // Others are the system's, such as labels.
    Ok(!names
        .split(|byte| *byte == 0)
        .any(|name| name.starts_with(b"user.")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whatever_is_done_to_a_directory_shows() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let new = |name: &str| {
            let dir = temp.path().join(name);
            fs::create_dir(&dir).expect("a directory");
            dir
        };
        let fresh = new("fresh");
        if !is_untouched(&fresh).expect("it can be asked") {
            // Then nothing ever is, which is safe.
            let told = fs::metadata(&fresh).expect("it is there").created();
            assert!(told.is_err(), "the file system tells when it was made");
            return;
        }
        let full = new("full");
        fs::write(full.join("x"), "").expect("a file");
        assert!(!is_untouched(&full).expect("it can be asked"));
        let touched = new("touched");
        let file = fs::File::open(&touched).expect("it opens");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("its time can be set");
        assert!(!is_untouched(&touched).expect("it can be asked"));
        let emptied = new("emptied");
        // Longer than the kernel's clock for files stands still.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(emptied.join("x"), "").expect("a file");
        fs::remove_file(emptied.join("x")).expect("it can go");
        assert!(!is_untouched(&emptied).expect("it can be asked"));
        std::os::unix::fs::symlink(&fresh, temp.path().join("link")).expect("a link");
        assert!(is_untouched(&temp.path().join("link")).is_err());
    }
}
