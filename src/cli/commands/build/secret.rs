//! `--secret id=NAME,src=FILE`.

use std::fs::File;
use std::io::Read;

use super::super::super::error::Failure;
use crate::engine::BuildSecret;

/// Bytes of one secret: as BuildKit.
const LARGEST: u64 = 500 << 10;

/// Reads a secret: from `src`, from the variable `env`, or from the file or variable that is called as the secret.
pub(super) fn read(text: &str) -> Result<BuildSecret, Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing --secret {text:?}: {problem}"))
            .with_hint("write id=NAME,src=FILE or id=NAME,env=VARIABLE")
    };
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => return Err(wrong(&format!("`{field}` is not known"))),
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| wrong("it has no id"))?;
    if file.is_none() && variable.is_none() && std::env::var_os(&id).is_some() {
        variable = Some(id.clone());
    }
    let content = match variable {
        Some(variable) => std::env::var_os(&variable)
            .ok_or_else(|| wrong(&format!("the variable `{variable}` is not set")))?
            .into_encoded_bytes(),
        None => {
            let path = file.unwrap_or_else(|| id.clone());
            let mut content = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content))
                .map_err(|source| Failure::Io {
                    doing: format!("reading the secret {path}"),
                    source,
                })?;
            content
        }
    };
    if content.len() as u64 > LARGEST {
        return Err(wrong("it has more than 500 KiB"));
    }
    Ok(BuildSecret { id, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_files() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hush").expect("written");
        let path = file.path().display();
        let secret = read(&format!("type=file,id=a,src={path}"))
            .map_err(drop)
            .expect("reads");
        assert_eq!(
            (secret.id.as_str(), &secret.content[..]),
            ("a", &b"hush"[..])
        );
        std::fs::write(file.path(), vec![0; 501 << 10]).expect("written");
        for text in [
            format!("id=a,src={path}"),
            "src=x".to_owned(),
            "id=".to_owned(),
            "id=a,what=b".to_owned(),
            "id=a,src=/nowhere".to_owned(),
            "id=a,env=COR_NOT_SET".to_owned(),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
