//! `--chown` by name: the image's own users and groups.

use super::copy::CopyError;
use super::files::ImageFiles;
use super::plan::{Id, Owner};

/// Bytes of `/etc/passwd` or `/etc/group` that are looked at. Real ones have a few KiB.
const MAX_BYTES: u64 = 4 << 20;

/// Returns the numbers of an owner. A user's number alone is the group's too, and a user's name alone has its own group.
pub(super) fn numbers(owner: &Owner, image: &ImageFiles) -> Result<(u32, u32), CopyError> {
    let (uid, own) = match &owner.user {
        Id::Number(uid) => (*uid, *uid),
        Id::Name(name) => {
            let fields = line(image, "/etc/passwd", name)?;
            let number = |at: usize| fields.as_ref()?.get(at)?.parse().ok();
            match (number(2), number(3)) {
                (Some(uid), Some(gid)) => (uid, gid),
                _ => return Err(unknown("user", name, "/etc/passwd")),
            }
        }
    };
    let gid = match &owner.group {
        None => own,
        Some(Id::Number(gid)) => *gid,
        Some(Id::Name(name)) => {
            let fields = line(image, "/etc/group", name)?;
            let number = fields.as_ref().and_then(|f| f.get(2)?.parse().ok());
            number.ok_or_else(|| unknown("group", name, "/etc/group"))?
        }
    };
    Ok((uid, gid))
}

/// Are both numbers, so that no image is needed?
pub(super) fn plain(owner: &Owner) -> Option<(u32, u32)> {
    match (&owner.user, &owner.group) {
        (Id::Number(uid), None) => Some((*uid, *uid)),
        (Id::Number(uid), Some(Id::Number(gid))) => Some((*uid, *gid)),
        _ => None,
    }
}

/// Returns the user and group that a program runs as, and its home directory. As in Docker a number need not be known; its group
/// is then root's.
pub(super) fn of_process(
    user: &str,
    image: &ImageFiles,
) -> Result<((u32, u32), String), CopyError> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "root" } else { user };
    let number: Option<u32> = user.parse().ok();
    let fields = match number {
        Some(_) => numbered(image, user)?,
        None => line(image, "/etc/passwd", user)?,
    };
    let field = |at: usize| fields.as_ref()?.get(at).cloned();
    let id = |at: usize| field(at)?.parse::<u32>().ok();
    let (uid, own) = match (number, id(2), id(3)) {
        (Some(uid), _, own) => (uid, own.unwrap_or(0)),
        (None, Some(uid), Some(own)) => (uid, own),
        // An image without users has root all the same.
        (None, ..) if user == "root" => (0, 0),
        (None, ..) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let gid = match group {
        None => own,
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let fields = line(image, "/etc/group", group)?;
                let gid = fields.as_ref().and_then(|f| f.get(2)?.parse().ok());
                gid.ok_or_else(|| unknown("group", group, "/etc/group"))?
            }
        },
    };
    let home = field(5).filter(|home| !home.is_empty());
    let home = home.unwrap_or_else(|| if uid == 0 { "/root" } else { "/" }.to_owned());
    Ok(((uid, gid), home))
}

fn numbered(image: &ImageFiles, uid: &str) -> Result<Option<Vec<String>>, CopyError> {
    find(image, "/etc/passwd", |fields| {
        fields.get(2).is_some_and(|field| field == uid)
    })
}

fn find(
    image: &ImageFiles,
    file: &str,
    wanted: impl Fn(&[String]) -> bool,
) -> Result<Option<Vec<String>>, CopyError> {
    let Some(bytes) = image.read(file, MAX_BYTES)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    Ok(lines.find(|fields| wanted(fields)))
}

fn line(image: &ImageFiles, file: &str, name: &str) -> Result<Option<Vec<String>>, CopyError> {
    find(image, file, |fields| {
        fields.first().is_some_and(|field| field == name)
    })
}

fn unknown(what: &'static str, name: &str, file: &'static str) -> CopyError {
    CopyError::Unknown {
        what,
        name: name.to_owned(),
        file,
    }
}
