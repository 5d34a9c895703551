//! The templates of `--format`: the part of Go's template language that people use with Docker.
//!
//! Fields, variables, pipelines, `if`, `range` and `with`, and the functions in [`functions`]. Data is JSON. What comes from
//! there is made safe for a terminal as it is turned to text; what the user typed stands as it is.

mod cursor;
mod eval;
mod functions;
mod parse;
mod printf;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

use self::parse::Node;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// It cannot be understood.
    #[error("template parsing error: at character {at}: {problem}")]
    Parse { at: usize, problem: String },
    /// It asks for what is not there.
    #[error("executing the template at <{action}>: {problem}")]
    Run { action: String, problem: String },
}

/// A template that was understood.
#[derive(Debug)]
pub(super) struct Template(Vec<Node>);

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(Self)
    }

    /// Fills it with data.
    pub(super) fn fill(&self, data: &Value) -> Result<String, TemplateError> {
        eval::fill(&self.0, data, &|_| None)
    }

    /// Fills it with data that has labels, which `.Label "KEY"` asks for.
    pub(super) fn fill_labelled(
        &self,
        data: &Value,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, TemplateError> {
        let label = |key: &str| Some(labels.get(key).cloned().unwrap_or_default());
        eval::fill(&self.0, data, &label)
    }

    /// Fills it with the headings of its fields. A label's heading is the last part of its key, as in Docker.
    pub(super) fn headings(&self, headings: &Value) -> Result<String, TemplateError> {
        let label = |key: &str| {
            let last = key.rsplit('.').next().unwrap_or(key);
            Some(last.replace(['-', '_'], " "))
        };
        eval::fill(&self.0, headings, &label)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data() -> Value {
        json!({
            "Id": "abc", "Name": "/web", "Count": 3, "Size": 2.5, "Ok": true, "Nothing": null, "Empty": [],
            "State": { "Status": "running", "Pid": 42 },
            "Env": ["A=1", "B=2 3"],
            "Labels": { "a.b": "x", "c": "y" },
            "Mounts": [{ "Source": "/s", "RW": true }, { "Source": "/t", "RW": false }],
            "Evil": "a\u{1b}[31m\nb",
        })
    }

    fn fill(text: &str) -> Result<String, TemplateError> {
        Template::parse(text)?.fill(&data())
    }

    #[track_caller]
    fn check(table: &[(&str, &str)]) {
        for (text, want) in table {
            assert_eq!(fill(text).as_deref(), Ok(*want), "{text}");
        }
    }

    #[test]
    fn fields_and_text() {
        check(&[
            ("", ""),
            ("plain { } }}", "plain { } }}"),
            ("{{.Id}}", "abc"),
            ("{{ .State.Status }}-{{.State.Pid}}", "running-42"),
            ("{{.ID}}", "abc"),
            ("a {{- .Id -}} b", "aabcb"),
            ("{{/* a comment */}}x{{- /* another */ -}} y", "xy"),
            ("{{.Nothing}}", "<no value>"),
            ("{{.Count}} {{.Size}} {{.Ok}}", "3 2.5 true"),
            (
                "{{.Env}} {{.Labels}} {{.Empty}}",
                "[A=1 B=2 3] map[a.b:x c:y] []",
            ),
            (
                "{{\"q\\t\\\"\"}}{{`raw\\n`}}{{'x'}}{{-5}}{{nil}}",
                "q\t\"raw\\n120-5<no value>",
            ),
            (
                "{{.}}{{$}}",
                &format!("{0}{0}", fill("{{.}}").expect("the whole")),
            ),
        ]);
    }

    #[test]
    fn functions() {
        check(&[
            ("{{json .Env}}", "[\"A=1\",\"B=2 3\"]"),
            ("{{.State | json}}", "{\"Pid\":42,\"Status\":\"running\"}"),
            (
                "{{index .Labels \"a.b\"}}|{{index .Labels \"no\"}}|{{index .Env 1}}",
                "x||B=2 3",
            ),
            ("{{(index .Mounts 0).Source}}", "/s"),
            ("{{index .Mounts 1 \"Source\"}}", "/t"),
            ("{{len .Env}}{{len .Id}}{{len .Labels}}", "232"),
            ("{{join .Env \", \"}}", "A=1, B=2 3"),
            ("{{index (split .Name \"/\") 1}}", "web"),
            (
                "{{upper .Id}}{{lower \"AB\"}}{{title \"one two\"}}",
                "ABCabOne Two",
            ),
            ("{{truncate .Id 2}}|{{pad .Id 1 2}}|", "ab| abc  |"),
            ("{{slice .Id 1 3}}{{slice .Env 1}}", "bc[B=2 3]"),
            (
                "{{println .Id 1}}{{print .Count 1 \"a\" \"b\" 2}}",
                "abc 1\n3 1ab2",
            ),
            (
                "{{printf \"%s|%5d|%-4s|%q|%v|%.1f|%05d|%x|%%\" .Id .Count \"x\" .Name .Ok .Size 7 255}}",
                "abc|    3|x   |\"/web\"|true|2.5|00007|ff|%",
            ),
            ("{{.Id | printf \"%s-%s\" \"a\"}}", "a-abc"),
            (
                "{{eq .Id \"abc\"}}{{eq .Count 1 2 3}}{{ne .Id \"x\"}}{{lt 1 2.5}}{{ge \"b\" \"a\"}}",
                "truetruetruetruetrue",
            ),
            (
                "{{and .Ok .Id}}{{or .Empty \"else\"}}{{not .Ok}}{{and .Empty (index .Env 9)}}",
                "abcelsefalse[]",
            ),
        ]);
    }

    #[test]
    fn control() {
        check(&[
            (
                "{{if .Ok}}yes{{else}}no{{end}}{{if .Empty}}yes{{else if eq .Count 3}}three{{else}}no{{end}}",
                "yesthree",
            ),
            (
                "{{range .Env}}<{{.}}>{{end}}{{range .Empty}}x{{else}}none{{end}}",
                "<A=1><B=2 3>none",
            ),
            (
                "{{range $i, $e := .Env}}{{$i}}={{$e}};{{end}}",
                "0=A=1;1=B=2 3;",
            ),
            (
                "{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}",
                "a.b:x c:y ",
            ),
            (
                "{{range .Mounts}}{{if not .RW}}{{continue}}{{end}}{{.Source}}{{$.Id}}{{end}}",
                "/sabc",
            ),
            ("{{range .Env}}{{.}}{{break}}{{end}}", "A=1"),
            ("{{range 3}}{{.}}{{end}}", "012"),
            (
                "{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}y{{end}}",
                "42y",
            ),
            (
                "{{$x := .Id}}{{$x}}{{if true}}{{$x = \"new\"}}{{$x := \"inner\"}}{{$x}}{{end}}{{$x}}",
                "abcinnernew",
            ),
        ]);
    }

    #[test]
    fn what_comes_from_outside_commands_no_terminal() {
        check(&[
            ("{{.Evil}}", "a\\u{1b}[31m\\nb"),
            ("{{println .Evil}}", "a\\u{1b}[31m\\nb\n"),
            ("{{printf \"%s\\n\" .Evil}}", "a\\u{1b}[31m\\nb\n"),
            ("{{upper .Evil}}", "A\\u{1b}[31M\\nB"),
            ("{{join (split .Evil \"[\") \"\\n\"}}", "a\\u{1b}\n31m\\nb"),
            ("{{json .Evil}}", "\"a\\u001b[31m\\nb\""),
        ]);
    }

    #[test]
    fn labels_and_headings() {
        let template = Template::parse("{{.Id}}\t{{.Label \"com.x.my-key\"}}").expect("a template");
        let labels = [("com.x.my-key".to_owned(), "v".to_owned())].into();
        assert_eq!(
            template.fill_labelled(&data(), &labels).expect("filled"),
            "abc\tv"
        );
        let headings = json!({ "Id": "ID" });
        assert_eq!(
            template.headings(&headings).expect("headings"),
            "ID\tmy key"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for bad in [
            "{{",
            "{{.Id",
            "{{.Id}",
            "{{end}}",
            "{{if .Ok}}",
            "{{if}}{{end}}",
            "{{else}}",
            "{{range .Env}}{{else}}{{else}}{{end}}",
            "{{nonsense .Id}}",
            "{{.Id | }}",
            "{{| .Id}}",
            "{{$undefined}}",
            "{{\"open}}",
            "{{`open}}",
            "{{(.Id}}",
            "{{.Id)}}",
            "{{break}}",
            "{{'ab'}}",
            "{{99999999999999999999999}}",
            "{{template \"x\"}}",
            "{{define \"x\"}}{{end}}",
            "{{.Id .}}{{",
            "{{/* open",
            "{{.a..b}}",
            "{{}}",
            &format!("{}{}", "{{if true}}".repeat(100), "{{end}}".repeat(100)),
            &format!("{{{{{}1{}}}}}", "(".repeat(200), ")".repeat(200)),
        ] {
            let error = Template::parse(bad).map(|_| ()).expect_err(bad);
            assert!(
                matches!(error, TemplateError::Parse { .. }),
                "{bad}: {error}"
            );
        }
        for bad in [
            "{{.Nope}}",
            "{{.Id.Deeper}}",
            "{{.Nothing.Deeper}}",
            "{{index .Env 5}}",
            "{{index .Id 0}}",
            "{{len .Count}}",
            "{{range .Id}}{{end}}",
            "{{lt .Env 1}}",
            "{{eq .Id 1}}",
            "{{join .Id \",\"}}",
            "{{slice .Id 2 1}}",
            "{{.Id \"argument\"}}",
            "{{json}}",
            "{{split .Id}}",
            "{{truncate .Id .Id}}",
            "{{pad .Id 99999999 0}}",
            "{{printf \"%999999d\" 1}}",
            "{{.Label \"x\"}}",
            "{{not}}",
            "{{printf .Count}}",
            "{{range 99999999}}{{end}}",
        ] {
            let error = fill(bad).expect_err(bad);
            assert!(matches!(error, TemplateError::Run { .. }), "{bad}: {error}");
        }
        let error = fill("x {{ .State.Nope }}").expect_err("no such field");
        assert_eq!(
            error.to_string(),
            "executing the template at <.State.Nope>: there is no field Nope"
        );
    }
}
