//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: small files of each container, written at every start.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use coracle_runtime::policy::net::HostEntry;

use super::super::Error;
use super::spec::Files;

/// Bytes of a file of the host's that are taken over.
const MAX_BYTES: u64 = 1 << 20;

const HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// Writes the files into the container's directory.
///
/// # Errors
///
/// What the file system says.
pub(super) fn write(
    directory: &Path,
    hostname: &str,
    with_hosts_network: bool,
    more: &[HostEntry],
) -> Result<Files, Error> {
    let of_host = with_hosts_network.then(|| read("/etc/hosts")).flatten();
    let hosts = hosts(of_host.as_deref(), more);
    let resolv_conf = read("/etc/resolv.conf").unwrap_or_default();
    let put = |name: &str, text: &[u8]| -> Result<PathBuf, Error> {
        let path = directory.join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::File {
                doing: "writing",
                path,
                source,
            }),
        }
    };
    Ok(Files {
        hosts: put("hosts", &hosts)?,
        hostname: put("hostname", format!("{hostname}\n").as_bytes())?,
        resolv_conf: put("resolv.conf", &resolv_conf)?,
    })
}

fn hosts(of_host: Option<&[u8]>, more: &[HostEntry]) -> Vec<u8> {
    let mut text = of_host.unwrap_or(HOSTS.as_bytes()).to_vec();
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    for entry in more {
        text.extend_from_slice(format!("{}\t{}\n", entry.ip, entry.name).as_bytes());
    }
    text
}

/// Reads a file of the host's. One that is not there, or is no file, has nothing to say.
fn read(path: &str) -> Option<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut text = Vec::new();
        fs::File::open(path)?
            .take(MAX_BYTES)
            .read_to_end(&mut text)?;
        Ok(text)
    };
    read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_behind() {
        let more: Vec<HostEntry> = vec!["db:10.0.0.7".parse().expect("an entry")];
        let own = String::from_utf8(hosts(None, &more)).expect("text");
        assert!(own.starts_with("127.0.0.1\tlocalhost\n"), "{own}");
        assert!(own.ends_with("\n10.0.0.7\tdb\n"), "{own}");
        let of_host = hosts(Some(b"1.2.3.4 here"), &more);
        assert_eq!(of_host, b"1.2.3.4 here\n10.0.0.7\tdb\n");
    }
}
