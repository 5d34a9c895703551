use crate::digest::shown;

/// Names that a loss of many things lists.
const LISTED: usize = 3;

/// What a conversion loses, one thing a line, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<String>);

impl Losses {
    /// Adds one.
    pub fn add(&mut self, what: impl Into<String>) {
        let what = what.into();
        // Entries of one index lose the same.
        if !self.0.contains(&what) {
            self.0.push(what);
        }
    }

    /// Adds some things of a kind, such as `files`, if there are any: their number and the first names.
    pub fn add_all<T: AsRef<str>>(&mut self, kind: &str, names: impl IntoIterator<Item = T>) {
        let mut names = names.into_iter();
        let listed: Vec<String> = names
            .by_ref()
            .take(LISTED)
            .map(|name| shown(name.as_ref()))
            .collect();
        if listed.is_empty() {
            return;
        }
        let listed = listed.join(", ");
        match names.count() {
            0 => self.add(format!("{kind} {listed}")),
            more => self.add(format!("{kind} {listed} and {more} more")),
        }
    }

    /// Is nothing lost?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lines.
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}
