//! `coracle volume ls`

use serde::Serialize;

use super::super::super::error::Failure;
use super::super::super::{Exit, ui};
use super::super::{Format, printing};
use crate::engine::{Engine, Volume};

/// List volumes
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only those that fit: dangling=true|false (no container has it), driver=NAME, label=KEY[=VALUE], name=PART
    #[arg(short, long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Print as a table or as JSON, one object per line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    availability: &'static str,
    driver: &'static str,
    group: &'static str,
    labels: String,
    links: &'static str,
    mountpoint: String,
    name: String,
    scope: &'static str,
    size: &'static str,
    status: &'static str,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let filter = Filter::parse(&args.filters)?;
    let mut rows = Vec::new();
    for (volume, users) in engine.list_volumes()? {
        if filter.admits(&volume, !users.is_empty()) {
            rows.push(row(&volume));
        }
    }
    print(&rows, args).map_err(printing)?;
    Ok(Exit::Success)
}

fn row(volume: &Volume) -> Row {
    let labels = volume.labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Row {
        availability: "N/A",
        driver: "local",
        group: "N/A",
        labels: labels.join(","),
        links: "N/A",
        mountpoint: volume.path().display().to_string(),
        name: volume.name.as_str().to_owned(),
        scope: "local",
        size: "N/A",
        status: "N/A",
    }
}

fn print(rows: &[Row], args: &Args) -> std::io::Result<()> {
    if args.quiet {
        return rows.iter().try_for_each(|row| ui::line(&row.name));
    }
    if args.format == Format::Json {
        return rows.iter().try_for_each(ui::json_line);
    }
    let mut table = ui::Table::new(&["DRIVER", "VOLUME NAME"]);
    for row in rows {
        table.row([row.driver.to_owned(), row.name.clone()]);
    }
    table.print()
}

/// Which volumes are wanted. Of several values of one kind any fits, but every label has to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    dangling: Option<bool>,
    drivers: Vec<String>,
    labels: Vec<(String, Option<String>)>,
    names: Vec<String>,
}

impl Filter {
    fn parse(typed: &[String]) -> Result<Self, Failure> {
        let mut filter = Self::default();
        for text in typed {
            let wrong = || {
                Failure::usage(format!("the filter {text:?} is not known")).with_hint(
                    "filters are dangling=true|false, driver=NAME, label=KEY[=VALUE] and name=PART",
                )
            };
            let (kind, value) = text.split_once('=').ok_or_else(wrong)?;
            match kind {
                "dangling" => {
                    filter.dangling = Some(match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(wrong()),
                    });
                }
                "driver" => filter.drivers.push(value.to_owned()),
                "label" => {
                    let (key, value) = match value.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (value, None),
                    };
                    filter.labels.push((key.to_owned(), value));
                }
                "name" => filter.names.push(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(filter)
    }

    fn admits(&self, volume: &Volume, is_used: bool) -> bool {
        let any = |list: &[String], fits: &dyn Fn(&String) -> bool| {
            list.is_empty() || list.iter().any(fits)
        };
        let has = |(key, value): &(String, Option<String>)| {
            let got = volume.labels.get(key);
            got.is_some_and(|got| value.as_ref().is_none_or(|value| value == got))
        };
        self.dangling.is_none_or(|dangling| dangling != is_used)
            && any(&self.drivers, &|driver| driver == "local")
            && any(&self.names, &|name| {
                volume.name.as_str().contains(name.as_str())
            })
            && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let parse = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|text| (*text).to_owned()).collect();
            Filter::parse(&typed).ok()
        };
        let filter = parse(&["dangling=1", "label=a=b=c", "label=d", "name=x"]).expect("filters");
        assert_eq!(filter.dangling, Some(true));
        assert_eq!(filter.labels[0], ("a".to_owned(), Some("b=c".to_owned())));
        assert_eq!(filter.labels[1], ("d".to_owned(), None));
        for bad in ["dangling=maybe", "dangling", "nonsense=1", ""] {
            assert_eq!(parse(&[bad]), None, "{bad}");
        }
    }
}
