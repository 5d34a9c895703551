//! From `--user` to numbers, by the image's own passwd and group files.
//!
//! passwd(5), group(5). The files are the image's, so they are read as what anybody may have written there: bounded, and lines
//! that are none are passed over.

use super::SpecError;

/// Bytes of a passwd or group file that are read. A line has some fifty, so this is for tens of thousands of users.
pub(super) const MAX_FILE_BYTES: u64 = 4 << 20;

/// Largest number of a user or group: as Docker's, since some programs take it for signed.
const MAX_NUMBER: u32 = i32::MAX as u32;

/// Groups of one user at most: what Linux takes (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The groups besides, `gid` not among them.
    pub(super) groups: Vec<u32>,
    /// The home directory.
    pub(super) home: String,
}

/// Finds who is meant by `user`, which is `NAME|NUMBER[:GROUP|NUMBER]` or empty for root, with the groups of `more` added.
///
/// A number need not be in the files; a name must. Without a group, the user's groups in the group file are added, as Docker does.
///
/// # Errors
///
/// A name is not in the files, or a number is too large.
pub(super) fn identify(
    user: &str,
    more: &[String],
    passwd: &[u8],
    group: &[u8],
) -> Result<Identity, SpecError> {
    let (user, group_part) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = parse(user);
    let entry = users(passwd).find(|entry| entry.name == user).or_else(|| {
        let number = number.as_ref().ok().copied()?;
        users(passwd).find(|entry| entry.uid == number)
    });
    let (uid, own_gid, home) = match &entry {
        Some(entry) => (entry.uid, entry.gid, entry.home.clone()),
        None => (number.map_err(|_| missing("user", user))?, 0, String::new()),
    };
    let gid = match group_part {
        Some(name) => find_group(name, group)?,
        None => own_gid,
    };
    let mut all = Vec::new();
    if group_part.is_none()
        && let Some(entry) = &entry
    {
        let of_user =
            groups(group).filter(|one| one.members.split(',').any(|name| name == entry.name));
        all.extend(of_user.map(|one| one.gid));
    }
    for name in more {
        all.push(find_group(name, group)?);
    }
    let mut groups = Vec::new();
    for one in all.into_iter().take(MAX_GROUPS) {
        if one != gid && !groups.contains(&one) {
            groups.push(one);
        }
    }
    let home = match home.starts_with('/') {
        true => home,
        false => "/".to_owned(),
    };
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: String,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
}

fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (_, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(User {
            name,
            uid: parse(uid).ok()?,
            gid: parse(gid).ok()?,
            home: home.to_owned(),
        })
    })
}

fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (_, gid) = (fields.next()?, fields.next()?);
        Some(Group {
            name,
            gid: parse(gid).ok()?,
            members: fields.next().unwrap_or_default(),
        })
    })
}

fn find_group(name: &str, group: &[u8]) -> Result<u32, SpecError> {
    match groups(group).find(|one| one.name == name) {
        Some(found) => Ok(found.gid),
        None => parse(name).map_err(|_| missing("group", name)),
    }
}

fn parse(text: &str) -> Result<u32, ()> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| *number <= MAX_NUMBER);
    number.filter(|_| digits).ok_or(())
}

fn missing(what: &'static str, name: &str) -> SpecError {
    SpecError::Unknown {
        what,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# no line\nbroken:x\nmail:x:8:12::/var/mail:\n\
        42:x:1000:1001::/home/42:/bin/sh\nhuge:x:99999999999:1::/:\n\xff\xfe:x:5:5::/:\nodd:x:7:7::relative:\n";
    const GROUP: &[u8] =
        b"root:x:0:\nwheel:x:10:root,mail\nmail:x:12:mail\ntape:x:26:mail,root\n42:x:77:\n";

    #[test]
    fn names_and_numbers() {
        type Case<'a> = (&'a str, &'a [&'a str], (u32, u32), &'a [u32], &'a str);
        let table: [Case<'_>; 14] = [
            ("", &[], (0, 0), &[10, 26], "/root"),
            ("root", &[], (0, 0), &[10, 26], "/root"),
            ("0", &[], (0, 0), &[10, 26], "/root"),
            ("root:", &[], (0, 0), &[10, 26], "/root"),
            ("root:root", &[], (0, 0), &[], "/root"),
            ("mail", &[], (8, 12), &[10, 26], "/var/mail"),
            ("8", &[], (8, 12), &[10, 26], "/var/mail"),
            ("mail:tape", &[], (8, 26), &[], "/var/mail"),
            (
                "mail:99",
                &["wheel", "5", "99"],
                (8, 99),
                &[10, 5],
                "/var/mail",
            ),
            ("123", &[], (123, 0), &[], "/"),
            ("123:456", &[], (123, 456), &[], "/"),
            (":12", &[], (0, 12), &[], "/root"),
            // A name of digits is a name first.
            ("42", &[], (1000, 1001), &[], "/home/42"),
            ("odd", &[], (7, 7), &[], "/"),
        ];
        for (user, more, (uid, gid), groups, home) in table {
            let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
            let got = identify(user, &more, PASSWD, GROUP).expect(user);
            let want = Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.to_owned(),
            };
            assert_eq!(got, want, "{user}");
        }
        let none = identify("5:6", &[], b"", b"").expect("numbers need no files");
        assert_eq!((none.uid, none.gid), (5, 6));
    }

    #[test]
    fn who_is_nobody_is_refused() {
        for (user, more, want) in [
            (
                "nobody",
                "",
                "no matching entries in the image's passwd file: \"nobody\"",
            ),
            (
                "broken",
                "",
                "no matching entries in the image's passwd file: \"broken\"",
            ),
            (
                "huge",
                "",
                "no matching entries in the image's passwd file: \"huge\"",
            ),
            (
                "2147483648",
                "",
                "no matching entries in the image's passwd file: \"2147483648\"",
            ),
            (
                "-1",
                "",
                "no matching entries in the image's passwd file: \"-1\"",
            ),
            (
                "+1",
                "",
                "no matching entries in the image's passwd file: \"+1\"",
            ),
            (
                "root:none",
                "",
                "no matching entries in the image's group file: \"none\"",
            ),
            (
                "root",
                "none",
                "no matching entries in the image's group file: \"none\"",
            ),
        ] {
            let more: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
            let error = identify(user, &more, PASSWD, GROUP).expect_err(user);
            assert_eq!(error.to_string(), want);
        }
    }
}
