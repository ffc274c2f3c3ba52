//! From a template and values to a mail's text.

use std::fmt;

use crate::syntax::{Output, SyntaxError, translate};
use crate::{Error, one_line};

/// Values of a template's variables, by name (`DevFirstName`).
pub type Variables = serde_json::Map<String, serde_json::Value>;

/// Columns of the text part: so many that links are never cut, because they must survive being copied.
/// Readers wrap lines themselves, and the transfer encoding keeps them short on the way.
const TEXT_WIDTH: usize = 4000;

/// Where in a template something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The subject line.
    Subject,
    /// The HTML body.
    Body,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Subject => "subject",
            Self::Body => "body",
        })
    }
}

/// Something wrong in a template, found before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; also the wire field.
    pub part: Part,
    /// Line within the part, from 1.
    pub line: usize,
    /// What, for its author.
    pub message: String,
}

/// A mail's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The body for programs that show no HTML, made from it.
    pub text: String,
    /// The body.
    pub html: String,
}

/// Everything wrong with a template that may use the variables `known`: syntax and unknown variables.
pub fn check(subject: &str, body: &str, known: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (part, source, output) in [
        (Part::Subject, subject, Output::Text),
        (Part::Body, body, Output::Html),
    ] {
        let translated = match translate(source, output) {
            Ok(translated) => translated,
            Err(SyntaxError { line, message }) => {
                problems.push(Problem {
                    part,
                    line,
                    message,
                });
                continue;
            }
        };
        let unknown = translated
            .reads
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()));
        problems.extend(unknown.map(|(name, line)| Problem {
            part,
            line: *line,
            message: format!(
                "the variable `{name}` is unknown; known are {}",
                known.join(", ")
            ),
        }));
        if let Err(error) = parse(&translated.liquid) {
            problems.push(Problem {
                part,
                line: 1,
                message: error,
            });
        }
    }
    problems
}

/// Fills a template. A variable without a value is empty: a mail with a gap is better than none.
///
/// # Errors
/// When the template is wrong ([`check`] says where).
pub fn render(subject: &str, body: &str, variables: &Variables) -> Result<Rendered, Error> {
    let fill = |part: Part, source: &str, output: Output| {
        let failed = |problem: String| Error::Render { part, problem };
        let translated = translate(source, output)
            .map_err(|error| failed(format!("line {}: {}", error.line, error.message)))?;
        let mut values = liquid::to_object(variables).map_err(|error| failed(error.to_string()))?;
        for (name, _) in &translated.reads {
            if !values.contains_key(name.as_str()) {
                tracing::warn!(%part, variable = name, "a mail's template uses a variable without a value");
                values.insert(name.clone().into(), liquid::model::Value::Nil);
            }
        }
        parse(&translated.liquid)
            .and_then(|template| template.render(&values).map_err(|error| error.to_string()))
            .map_err(failed)
    };
    let subject = one_line(&fill(Part::Subject, subject, Output::Text)?);
    let html = fill(Part::Body, body, Output::Html)?;
    let text = html2text::config::plain()
        .no_link_wrapping()
        .string_from_read(html.as_bytes(), TEXT_WIDTH)
        .map_err(|error| Error::Render {
            part: Part::Body,
            problem: error.to_string(),
        })?;
    Ok(Rendered {
        subject,
        text,
        html,
    })
}

fn parse(source: &str) -> Result<liquid::Template, String> {
    liquid::ParserBuilder::with_stdlib()
        .build()
        .and_then(|parser| parser.parse(source))
        .map_err(|error| one_line(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(value: serde_json::Value) -> Variables {
        match value {
            serde_json::Value::Object(map) => map,
            _ => Variables::new(),
        }
    }

    #[test]
    fn a_link_is_whole_in_the_text_part() {
        let url = format!(
            "https://portal.example.com/confirm?ticket={}",
            "a".repeat(120)
        );
        let values = variables(json!({"ConfirmUrl": url}));
        let body = "<p>Follow <a href=\"$ConfirmUrl\">this link</a> or copy it: $ConfirmUrl</p>";
        let rendered = render("Hello", body, &values).expect("a correct template");
        assert_eq!(rendered.text.matches(&url).count(), 2, "{}", rendered.text);
    }

    #[test]
    fn both_syntaxes_fill_subject_text_and_html() {
        let values = variables(
            json!({"Name": "Ann", "Items": [{"Title": "A"}, {"Title": "B"}], "Empty": ""}),
        );
        let body = "<p>Dear $Name,</p>#if($Empty)<p>never</p>#else<ul>#foreach($i in $Items)<li>$i.Title</li>#end</ul>#end<p>{{ Name | upcase }}</p>";
        let rendered =
            render("Hello $Name / {{ Name }}", body, &values).expect("a correct template");
        assert_eq!(
            rendered,
            Rendered {
                subject: "Hello Ann / Ann".to_owned(),
                text: "Dear Ann,\n* A\n* B\n\nANN\n".to_owned(),
                html: "<p>Dear Ann,</p><ul><li>A</li><li>B</li></ul><p>ANN</p>".to_owned(),
            }
        );
    }

    #[test]
    fn values_are_escaped_in_html_and_never_executed() {
        let values =
            variables(json!({"Name": "<b>\"{{ Secret }}\" $Secret</b>", "Secret": "s3cret"}));
        let rendered =
            render("$Name", "<i title=\"$Name\">$Name</i>", &values).expect("a correct template");
        let escaped = "&lt;b&gt;&quot;{{ Secret }}&quot; $Secret&lt;/b&gt;";
        assert_eq!(
            rendered.html,
            format!("<i title=\"{escaped}\">{escaped}</i>")
        );
        assert_eq!(rendered.subject, "<b>\"{{ Secret }}\" $Secret</b>");
    }

    #[test]
    fn a_subject_is_one_line_whatever_the_values() {
        let values = variables(json!({"Name": "Ann\r\nBcc: all@example.com\u{0}"}));
        assert_eq!(
            render("Hello $Name", "x", &values)
                .expect("a correct template")
                .subject,
            "Hello Ann Bcc: all@example.com"
        );
    }

    #[test]
    fn a_variable_without_a_value_is_empty() {
        assert_eq!(
            render("a${Nothing}b", "{{ nothing }}", &Variables::new())
                .expect("a correct template")
                .subject,
            "ab"
        );
    }

    #[test]
    fn unknown_variables_and_mistakes_are_all_reported() {
        let problems = check(
            "$DevName",
            "<p>\n$OrganizationName $Foo</p>\n{{ bar | nonsense }}",
            &["OrganizationName"],
        );
        let short: Vec<_> = problems
            .iter()
            .map(|problem| {
                (
                    problem.part,
                    problem.line,
                    problem
                        .message
                        .split([';', '\''])
                        .next()
                        .unwrap_or("")
                        .split(" with:")
                        .next()
                        .unwrap_or("")
                        .to_owned(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                (
                    Part::Subject,
                    1,
                    "the variable `DevName` is unknown".to_owned()
                ),
                (Part::Body, 2, "the variable `Foo` is unknown".to_owned()),
                (Part::Body, 3, "the variable `bar` is unknown".to_owned()),
                (Part::Body, 1, "liquid: Unknown filter".to_owned()),
            ]
        );
    }
}
