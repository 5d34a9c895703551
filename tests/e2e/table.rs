//! Docker's tables: cells stand below their heading.

use std::collections::BTreeMap;

/// A table's rows, each a map from heading to cell.
pub(crate) type Rows = Vec<BTreeMap<String, String>>;

/// Reads a table. Its headings are those that are given, in this order; each cell starts where its heading starts.
#[track_caller]
pub(crate) fn read(text: &str, headings: &[&str]) -> Rows {
    let mut lines = text.lines();
    let first = lines.next().expect("a line of headings");
    let mut starts = Vec::new();
    let mut from = 0;
    for heading in headings {
        let start = first[from..]
            .find(heading)
            .unwrap_or_else(|| panic!("{heading} is not in {first:?}"))
            + from;
        starts.push(start);
        from = start + heading.len();
    }
    assert_eq!(
        first.split_whitespace().collect::<Vec<_>>(),
        headings.join(" ").split_whitespace().collect::<Vec<_>>(),
    );
    lines
        .map(|line| {
            let letters: Vec<char> = line.chars().collect();
            let cells = starts.iter().enumerate().map(|(place, &start)| {
                let end = starts.get(place + 1).copied().unwrap_or(letters.len());
                let cell: String = letters
                    .get(start..end.min(letters.len()))
                    .unwrap_or_default()
                    .iter()
                    .collect();
                if place + 1 < starts.len() && start < letters.len() {
                    assert!(
                        cell.ends_with("   ") || cell.len() < end - start,
                        "{line:?}"
                    );
                }
                (headings[place].to_owned(), cell.trim_end().to_owned())
            });
            cells.collect()
        })
        .collect()
}
