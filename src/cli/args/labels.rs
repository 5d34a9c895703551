//! `--label key=value`.

use std::collections::BTreeMap;

use super::super::error::Failure;

/// Returns the labels. A bare key has an empty value, as in Docker.
pub(in super::super) fn parse(typed: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for text in typed {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Failure::usage(format!(
                "parsing --label {text:?}: a label needs a key, as in key=value"
            )));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}
