//! What is wrong with a policy document, and where.

use std::fmt;

/// One thing an author must correct. Parsing reports all of them at once, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// 1-based line of the text as it was given to the parser.
    pub line: u32,
    /// 1-based column, counted in characters.
    pub column: u32,
    /// What is wrong, in words for the author.
    pub message: String,
    /// The policy element it concerns, for example `rate-limit`.
    pub element: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(element) = &self.element {
            write!(
                f,
                "Error in element '{element}' on line {}, column {}: {}",
                self.line, self.column, self.message
            )
        } else {
            write!(
                f,
                "Error on line {}, column {}: {}",
                self.line, self.column, self.message
            )
        }
    }
}

/// Turns byte offsets of one text into lines and columns.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    pub(crate) fn line(&self, offset: usize) -> u32 {
        let line = self.starts.partition_point(|start| *start <= offset);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    pub(crate) fn problem(
        &self,
        offset: usize,
        element: Option<&str>,
        message: impl Into<String>,
    ) -> Problem {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line(offset);
        let start = self.starts[line as usize - 1];
        let column = self.text[start..offset].chars().count() + 1;
        Problem {
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            message: message.into(),
            element: element.map(str::to_owned),
        }
    }
}
