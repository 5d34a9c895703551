//! Guests made of a list of calls: each answers with its error number, and memory can be shown.

use std::fmt::Write;

use coracle_runtime::spec::ContainerSpec;

use crate::world::{Ran, World};

/// Every function of preview 1: its parameters (`i` 32 bits, `I` 64 bits) and whether it answers with an error number.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

pub(crate) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Error numbers, as witx counts them.
pub(crate) const OK: u16 = 0;
pub(crate) const AGAIN: u16 = 6;
pub(crate) const BADF: u16 = 8;
pub(crate) const EXIST: u16 = 20;
pub(crate) const INVAL: u16 = 28;
pub(crate) const ISDIR: u16 = 31;
pub(crate) const LOOP: u16 = 32;
pub(crate) const MFILE: u16 = 33;
pub(crate) const NAMETOOLONG: u16 = 37;
pub(crate) const NOENT: u16 = 44;
pub(crate) const NOMEM: u16 = 48;
pub(crate) const NOTDIR: u16 = 54;
pub(crate) const NOTEMPTY: u16 = 55;
pub(crate) const NOTSOCK: u16 = 57;
pub(crate) const NOTSUP: u16 = 58;
pub(crate) const PERM: u16 = 63;
pub(crate) const PIPE: u16 = 64;
pub(crate) const SPIPE: u16 = 70;
pub(crate) const NOTCAPABLE: u16 = 76;

/// Rights, flags.
pub(crate) const READ: i64 = 1 << 1;
pub(crate) const WRITE: i64 = 1 << 6;
pub(crate) const ALL_RIGHTS: i64 = (1 << 30) - 1;
pub(crate) const CREAT: i64 = 1;
pub(crate) const DIRECTORY: i64 = 2;
pub(crate) const EXCL: i64 = 4;
pub(crate) const TRUNC: i64 = 8;

/// Where the guest keeps what it needs itself: an `iovec`, and the error number that is shown.
const OWN: u32 = 0;
/// Where strings begin.
const TEXT: u32 = 4096;

/// A guest in the making.
pub(crate) struct Guest {
    module: &'static str,
    used: Vec<&'static str>,
    data: String,
    body: String,
    next_text: u32,
    /// How many bytes each step shows.
    shows: Vec<usize>,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::of(PREVIEW1)
    }

    pub(crate) fn of(module: &'static str) -> Self {
        Self {
            module,
            used: Vec::new(),
            data: String::new(),
            body: String::new(),
            next_text: TEXT,
            shows: Vec::new(),
        }
    }

    fn import(&mut self, name: &str) -> &'static (&'static str, &'static str) {
        let function = FUNCTIONS
            .iter()
            .find(|(known, _)| *known == name)
            .expect("a function of preview 1");
        if !self.used.contains(&function.0) {
            self.used.push(function.0);
        }
        function
    }

    /// Puts bytes into memory.
    pub(crate) fn data(mut self, at: u32, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        writeln!(self.data, "(data (i32.const {at}) \"{hex}\")").expect("a string takes all");
        self
    }

    /// Puts 32-bit numbers into memory.
    pub(crate) fn words(self, at: u32, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.data(at, &bytes)
    }

    /// Puts a text into memory; returns its pointer and length.
    pub(crate) fn text(&mut self, text: &str) -> [i64; 2] {
        let at = self.next_text;
        self.next_text += u32::try_from(text.len()).expect("short") + 1;
        let guest = std::mem::replace(self, Self::new()).data(at, text.as_bytes());
        *self = guest;
        [at.into(), i64::try_from(text.len()).expect("short")]
    }

    /// Calls a function and shows its error number.
    pub(crate) fn call(mut self, name: &str, args: &[i64]) -> Self {
        let (name, parameters) = self.import(name);
        self.import("fd_write");
        assert_eq!(parameters.len(), args.len(), "arguments of {name}");
        let pushed: String = parameters
            .chars()
            .zip(args)
            .map(|(kind, arg)| {
                if kind == 'I' {
                    format!("(i64.const {arg})")
                } else {
                    format!("(i32.const {})", *arg as i32)
                }
            })
            .collect();
        writeln!(
            self.body,
            "(i32.store16 (i32.const {OWN}) (call ${name} {pushed}))"
        )
        .expect("a string takes all");
        self.show(OWN, 2)
    }

    /// Opens a path through descriptor `fd`, following links; the descriptor's number goes to memory at 256.
    pub(crate) fn open(mut self, fd: i64, path: &str, oflags: i64, rights: i64) -> Self {
        let [at, len] = self.text(path);
        self.call(
            "path_open",
            &[fd, 1, at, len, oflags, rights, ALL_RIGHTS, 0, 256],
        )
    }

    /// Calls a function whose only parameters are a descriptor and a path.
    pub(crate) fn path(mut self, name: &str, fd: i64, path: &str) -> Self {
        let [at, len] = self.text(path);
        self.call(name, &[fd, at, len])
    }

    /// Shows memory.
    pub(crate) fn show(mut self, at: u32, len: u32) -> Self {
        self.import("fd_write");
        writeln!(
            self.body,
            "(i32.store (i32.const {}) (i32.const {at})) (i32.store (i32.const {}) (i32.const {len}))\n\
             (if (call $fd_write (i32.const 1) (i32.const {}) (i32.const 1) (i32.const {})) (then unreachable))",
            OWN + 8,
            OWN + 12,
            OWN + 8,
            OWN + 16
        )
        .expect("a string takes all");
        self.shows.push(len as usize);
        self
    }

    /// Puts instructions of one's own between the calls.
    pub(crate) fn code(mut self, text: &str) -> Self {
        self.body.push_str(text);
        self
    }

    /// The module as text: two pages of memory, `_start` with the calls.
    pub(crate) fn wat(&self) -> String {
        let mut imports = String::new();
        for name in &self.used {
            let (_, parameters) = FUNCTIONS
                .iter()
                .find(|(known, _)| known == name)
                .expect("it was imported");
            let types: String = parameters
                .chars()
                .map(|kind| if kind == 'I' { " i64" } else { " i32" })
                .collect();
            let result = if *name == "proc_exit" {
                ""
            } else {
                "(result i32)"
            };
            writeln!(
                imports,
                "(import \"{}\" \"{name}\" (func ${name} (param{types}) {result}))",
                self.module
            )
            .expect("a string takes all");
        }
        format!(
            "(module {imports} (memory (export \"memory\") 2)\n{}\n(func (export \"_start\")\n{}))",
            self.data, self.body
        )
    }

    /// Runs it; returns what each step showed.
    pub(crate) fn run(self, world: &World) -> Shown {
        self.run_with(world, |_| {})
    }

    pub(crate) fn run_with(self, world: &World, edit: impl FnOnce(&mut ContainerSpec)) -> Shown {
        let ran = world.run(self.wat(), edit);
        assert_eq!(ran.code(), 0);
        self.shown(&ran)
    }

    /// What each step showed in a run.
    pub(crate) fn shown(&self, ran: &Ran) -> Shown {
        Shown::new(ran, &self.shows)
    }
}

/// What a guest showed, step by step.
pub(crate) struct Shown {
    steps: std::vec::IntoIter<Vec<u8>>,
}

impl Shown {
    fn new(ran: &Ran, shows: &[usize]) -> Self {
        let mut rest = &ran.stdout[..];
        let mut steps = Vec::new();
        for len in shows {
            let (step, after) = rest.split_at(*len);
            steps.push(step.to_vec());
            rest = after;
        }
        assert!(rest.is_empty(), "more output than steps");
        Self {
            steps: steps.into_iter(),
        }
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.steps.next().expect("one more step")
    }

    pub(crate) fn errno(&mut self) -> u16 {
        let bytes = self.bytes();
        u16::from_le_bytes(bytes.try_into().expect("an error number"))
    }

    pub(crate) fn word(&mut self) -> u32 {
        let bytes = self.bytes();
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    pub(crate) fn long(&mut self) -> u64 {
        let bytes = self.bytes();
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    /// The error numbers of the next steps.
    pub(crate) fn errnos(&mut self, count: usize) -> Vec<u16> {
        (0..count).map(|_| self.errno()).collect()
    }
}

/// All functions are there, under the types that witx gives them.
#[test]
fn every_function_of_preview_1_links() {
    let mut guest = Guest::new();
    for (name, _) in FUNCTIONS {
        guest.import(name);
    }
    assert_eq!(FUNCTIONS.len(), 46);
    assert_eq!(World::new().run(guest.wat(), |_| {}).code(), 0);
}
