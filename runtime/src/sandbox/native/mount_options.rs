//! The options of a mount, in mount(8)'s words, as the specification lists them.

use oci_spec::runtime::Mount;

use crate::sys::linux::container::Attributes;

/// Where a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file or directory of the host; with what is mounted below it?
    Bind { recursive: bool },
    /// The container's cgroups.
    Cgroup,
    /// A new file system of this type.
    New(String),
}

/// What the options of one mount mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) source: Source,
    pub(super) set: Attributes,
    pub(super) clear: Attributes,
    /// The same, for all mounts below as well.
    pub(super) set_all: Attributes,
    pub(super) clear_all: Attributes,
    /// `MS_*`, and whether for all mounts below.
    pub(super) propagation: Vec<(libc::c_ulong, bool)>,
    /// What the file system reads itself.
    pub(super) data: Vec<String>,
}

/// What cannot be done, in the user's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the option `{0}` is not supported here")]
pub(super) struct UnknownOption(String);

impl MountOptions {
    /// Reads a mount's type and options.
    ///
    /// # Errors
    ///
    /// An option that nobody would enforce.
    pub(super) fn parse(mount: &Mount) -> Result<Self, UnknownOption> {
        let words: Vec<&str> = mount
            .options()
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let kind = mount.typ().as_deref().unwrap_or("bind");
        let source = match kind {
            _ if words.contains(&"rbind") => Source::Bind { recursive: true },
            _ if words.contains(&"bind") => Source::Bind { recursive: false },
            "bind" | "none" => Source::Bind { recursive: false },
            "rbind" => Source::Bind { recursive: true },
            "cgroup" | "cgroup2" => Source::Cgroup,
            kind => Source::New(kind.to_owned()),
        };
        let mut options = Self {
            source,
            set: Attributes::default(),
            clear: Attributes::default(),
            set_all: Attributes::default(),
            clear_all: Attributes::default(),
            propagation: Vec::new(),
            data: Vec::new(),
        };
        for word in words {
            options.add(word)?;
        }
        if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
            return Err(UnknownOption("idmap".to_owned()));
        }
        Ok(options)
    }

    fn add(&mut self, word: &str) -> Result<(), UnknownOption> {
        if let Some((attributes, on, all)) = attribute(word) {
            let (set, clear) = if all {
                (&mut self.set_all, &mut self.clear_all)
            } else {
                (&mut self.set, &mut self.clear)
            };
            // Access times are a number, not bits: the kernel wants the whole field cleared before it is set.
            let times = attributes.0 & Attributes::ACCESS_TIMES.0 != 0;
            if on {
                if times {
                    *set = set.without(Attributes::ACCESS_TIMES);
                    *clear = clear.with(Attributes::ACCESS_TIMES);
                }
                *set = set.with(attributes);
            } else {
                *set = set.without(attributes);
                let whole = if times {
                    Attributes::ACCESS_TIMES
                } else {
                    attributes
                };
                *clear = clear.with(whole);
            }
            return Ok(());
        }
        let propagation = match word.strip_prefix('r').unwrap_or(word) {
            "private" => Some(libc::MS_PRIVATE),
            "slave" => Some(libc::MS_SLAVE),
            "shared" => Some(libc::MS_SHARED),
            "unbindable" => Some(libc::MS_UNBINDABLE),
            _ => None,
        };
        if let Some(propagation) = propagation {
            self.propagation.push((propagation, word.starts_with('r')));
            return Ok(());
        }
        match (&self.source, word) {
            (_, "bind" | "rbind" | "defaults" | "silent" | "loud") => Ok(()),
            (_, "remount" | "tmpcopyup" | "idmap" | "ridmap" | "copy-symlink") => {
                Err(UnknownOption(word.to_owned()))
            }
            (Source::New(_), word) => {
                self.data.push(word.to_owned());
                Ok(())
            }
            (Source::Cgroup, "nsdelegate" | "memory_recursiveprot") => Ok(()),
            (Source::Bind { .. } | Source::Cgroup, word) => Err(UnknownOption(word.to_owned())),
        }
    }
}

/// The attributes that a word stands for, whether it sets them, and whether on all mounts below.
fn attribute(word: &str) -> Option<(Attributes, bool, bool)> {
    let of = |word: &str| {
        Some(match word {
            "ro" => (Attributes::READ_ONLY, true),
            "rw" => (Attributes::READ_ONLY, false),
            "nosuid" => (Attributes::NO_SUID, true),
            "suid" => (Attributes::NO_SUID, false),
            "nodev" => (Attributes::NO_DEVICES, true),
            "dev" => (Attributes::NO_DEVICES, false),
            "noexec" => (Attributes::NO_EXEC, true),
            "exec" => (Attributes::NO_EXEC, false),
            "noatime" => (Attributes::NO_ACCESS_TIME, true),
            "atime" | "norelatime" | "relatime" => (Attributes::NO_ACCESS_TIME, false),
            "strictatime" => (Attributes::STRICT_ACCESS_TIME, true),
            "nostrictatime" => (Attributes::STRICT_ACCESS_TIME, false),
            "nodiratime" => (Attributes::NO_DIR_ACCESS_TIME, true),
            "diratime" => (Attributes::NO_DIR_ACCESS_TIME, false),
            "nosymfollow" => (Attributes::NO_SYMLINKS, true),
            "symfollow" => (Attributes::NO_SYMLINKS, false),
            _ => return None,
        })
    };
    if let Some((attributes, on)) = of(word) {
        return Some((attributes, on, false));
    }
    let (attributes, on) = of(word.strip_prefix('r')?)?;
    Some((attributes, on, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;

    fn parse(kind: &str, options: &[&str]) -> Result<MountOptions, UnknownOption> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mount = MountBuilder::default()
            .destination("/x")
            .typ(kind)
            .options(options)
            .build()
            .expect("a mount");
        MountOptions::parse(&mount)
    }

    #[test]
    fn words_mean_what_mount_says() {
        let tmpfs = parse(
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        );
        let tmpfs = tmpfs.expect("known");
        assert_eq!(tmpfs.source, Source::New("tmpfs".to_owned()));
        assert_eq!(tmpfs.set.0, 0x2 | 0x20);
        assert_eq!(tmpfs.data, ["mode=755", "size=65536k"]);
        let bind = parse("bind", &["rbind", "ro", "rprivate", "rnosuid"]).expect("known");
        assert_eq!(bind.source, Source::Bind { recursive: true });
        assert_eq!((bind.set.0, bind.set_all.0), (1, 2));
        assert_eq!(bind.propagation, [(libc::MS_PRIVATE, true)]);
        // The last word counts.
        let both = parse("bind", &["ro", "rw"]).expect("known");
        assert_eq!((both.set.0, both.clear.0), (0, 1));
    }

    #[test]
    fn what_nobody_would_enforce_is_refused() {
        for (kind, word) in [
            ("bind", "idmap"),
            ("bind", "uid=7"),
            ("tmpfs", "tmpcopyup"),
            ("bind", "remount"),
        ] {
            assert_eq!(parse(kind, &[word]), Err(UnknownOption(word.to_owned())));
        }
    }
}
