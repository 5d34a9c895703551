//! How lists are printed: as a table, as JSON, or as a template says.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::Failure;
use super::template::{Template, TemplateError};
use super::ui;

/// What `--format` says.
#[derive(Debug)]
pub(super) enum Form {
    /// Columns for people, the usual ones.
    Table,
    /// One JSON object per line.
    Json,
    /// Columns that a template names.
    TemplateTable(Template),
    /// What a template says.
    Template(Template),
}

impl Form {
    /// Reads `table`, `json`, or a template, which `table ` may precede.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "table" => return Ok(Self::Table),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        // As in Docker: a shell's quotes keep these two from being what they mean.
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        Ok(match text.strip_prefix("table ") {
            Some(columns) => Self::TemplateTable(Template::parse(columns.trim()).map_err(wrong)?),
            None => Self::Template(Template::parse(&text).map_err(wrong)?),
        })
    }
}

/// Says what is wrong with a template.
pub(super) fn wrong(error: TemplateError) -> Failure {
    Failure::Plain(Box::new(Failure::usage(error.to_string())))
}

/// The fields of a list, and what each is called at the head of a column.
pub(super) type Headings = [(&'static str, &'static str)];

/// One thing in a list.
pub(super) struct Line {
    fields: Value,
    labels: BTreeMap<String, String>,
}

impl Line {
    /// Takes a row with its fields, and the labels that a template may ask for one by one.
    pub(super) fn new(row: &impl Serialize, labels: &BTreeMap<String, String>) -> Self {
        Self {
            fields: serde_json::to_value(row).unwrap_or_default(),
            labels: labels.clone(),
        }
    }

    fn cell(&self, field: &str) -> String {
        match self.fields.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }
}

/// Prints one field of each, for `--quiet`.
pub(super) fn print_field(lines: &[Line], field: &str) -> Result<(), Failure> {
    let text: String = lines.iter().map(|line| line.cell(field) + "\n").collect();
    raw(&text)
}

/// Prints a list. A table has these columns of it unless a template names others.
pub(super) fn print(
    form: &Form,
    lines: &[Line],
    headings: &Headings,
    columns: &[&str],
) -> Result<(), Failure> {
    match form {
        Form::Json => {
            for line in lines {
                ui::json_line(&line.fields).map_err(super::commands::printing)?;
            }
            Ok(())
        }
        Form::Table => {
            let heads: Vec<&str> = columns
                .iter()
                .map(|column| {
                    let found = headings.iter().find(|(field, _)| field == column);
                    found.map_or(*column, |(_, heading)| *heading)
                })
                .collect();
            let mut table = ui::Table::new(&heads);
            for line in lines {
                table.cells(columns.iter().map(|column| line.cell(column)));
            }
            table.print().map_err(super::commands::printing)
        }
        Form::Template(template) => {
            let mut text = String::new();
            for line in lines {
                let filled = template.fill_labelled(&line.fields, &line.labels);
                text += &filled.map_err(wrong)?;
                text.push('\n');
            }
            raw(&text)
        }
        Form::TemplateTable(template) => {
            let heads = headings.iter().map(|(field, heading)| {
                let heading = Value::String((*heading).to_owned());
                ((*field).to_owned(), heading)
            });
            let heads = Value::Object(heads.collect::<Map<_, _>>());
            let head = template.headings(&heads).map_err(wrong)?;
            let mut table = ui::Table::new(&head.split('\t').collect::<Vec<_>>());
            for line in lines {
                let filled = template.fill_labelled(&line.fields, &line.labels);
                table.cells(filled.map_err(wrong)?.split('\t').map(str::to_owned));
            }
            table.print().map_err(super::commands::printing)
        }
    }
}

/// Prints things one by one, each as a template says, or all as indented JSON.
pub(super) fn print_each(template: Option<&str>, found: &[Value]) -> Result<(), Failure> {
    match template {
        None => ui::json_pretty(&found).map_err(super::commands::printing),
        Some("json") => {
            let lines = found.iter().try_for_each(ui::json_line);
            lines.map_err(super::commands::printing)
        }
        Some(text) => {
            let template = Template::parse(text).map_err(wrong)?;
            let mut filled = String::new();
            for value in found {
                filled += &template.fill(value).map_err(wrong)?;
                filled.push('\n');
            }
            raw(&filled)
        }
    }
}

fn raw(text: &str) -> Result<(), Failure> {
    ui::raw(text.as_bytes()).map_err(super::commands::printing)
}

/// Returns labels as lists show them: `a=b,c=d`.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> String {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(",")
}
