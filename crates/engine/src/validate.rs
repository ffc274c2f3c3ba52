//! Violations: everything that is wrong with an input, named by wire field.

use serde_json::{Value, json};

/// All the violations found in one input, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The wire name of the field, with a path inside nested values (`responses[0].statusCode`).
    pub target: String,
    /// What is wrong, as a predicate: `is required`.
    pub message: String,
}

impl Violations {
    /// Adds a violation; `message` continues the sentence that begins with the field's name.
    pub fn add(&mut self, target: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation {
            target: target.into(),
            message: message.into(),
        });
    }

    /// Checks a length in characters.
    pub fn length(&mut self, target: &str, text: &str, limits: std::ops::RangeInclusive<usize>) {
        let count = text.chars().count();
        if !limits.contains(&count) {
            let (min, max) = limits.into_inner();
            self.add(
                target,
                match (min, max) {
                    (1, usize::MAX) => "must not be empty".to_owned(),
                    (_, usize::MAX) => format!("must be at least {min} characters long"),
                    _ => format!("must be {min} to {max} characters long"),
                },
            );
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations found so far.
    #[must_use]
    pub fn list(&self) -> &[Violation] {
        &self.0
    }

    /// `Ok` if nothing is wrong.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with all of them.
    pub fn into_result(self) -> crate::Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(crate::Error::Invalid(self))
        }
    }

    /// The `details` array of the error envelope.
    #[must_use]
    pub fn details(&self) -> Value {
        self.0
            .iter()
            .map(|v| {
                json!({"code": "ValidationError", "target": v.target,
                       "message": format!("{} {}.", v.target, v.message.trim_end_matches('.'))})
            })
            .collect()
    }
}
