//! OData as the management contract's lists use it: `$filter` and `$orderby` texts to syntax trees.
//!
//! Grammar (contract rules §8): comparisons `eq ne gt ge lt le`, `and or not`, parentheses, the
//! functions `contains(f,'x')`, `substringof('x',f)`, `startswith`, `endswith`, lambdas `any` and `all`,
//! and the literals text `'it''s'`, number, `true`, `false`, `null`, `datetime'2017-06-01T00:00:00'` and
//! bare ISO dates. Keywords match without regard to case. Which fields exist is the caller's business.

mod lexer;
mod parser;

use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;

pub use parser::{MAX_CHARS, MAX_DEPTH, parse_filter, parse_order_by};

/// Why a text is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {position})")]
pub struct Error {
    /// Position in characters, from 1.
    pub position: usize,
    /// What is wrong.
    pub message: String,
}

/// A field by path: `properties/displayName` is `["properties", "displayName"]`.
#[derive(Clone, Debug)]
pub struct Field {
    /// The path's segments.
    pub path: Vec<String>,
    /// Position in characters, from 1.
    pub position: usize,
}

impl PartialEq for Field {
    /// Two fields are equal when their paths are, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

/// A function over a text field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `contains(field,'x')`
    Contains,
    /// `substringof('x',field)`
    SubstringOf,
    /// `startswith(field,'x')`
    StartsWith,
    /// `endswith(field,'x')`
    EndsWith,
}

/// A value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `'text'`
    Text(String),
    /// `12`, `-1.5`
    Number(f64),
    /// `true` or `false`
    Bool(bool),
    /// A time; a date is its first moment in UTC.
    DateTime(DateTime<Utc>),
    /// `null`
    Null,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// At least one.
    Or(Box<Expr>, Box<Expr>),
    /// Not.
    Not(Box<Expr>),
    /// A field against a value.
    Compare {
        /// The field.
        field: Field,
        /// The comparison.
        op: Op,
        /// The value.
        value: Literal,
    },
    /// A text function.
    Call {
        /// The function.
        function: Function,
        /// The field.
        field: Field,
        /// Its other argument.
        value: String,
    },
    /// `tags/any(t: t eq 'x')`; without a body whether there is any element.
    Any {
        /// The collection.
        field: Field,
        /// Name of the element.
        variable: String,
        /// Condition on the element.
        body: Option<Box<Expr>>,
    },
    /// `tags/all(t: t eq 'x')`
    All {
        /// The collection.
        field: Field,
        /// Name of the element.
        variable: String,
        /// Condition on the element.
        body: Box<Expr>,
    },
    /// A boolean field by itself.
    Bare(Field),
}

/// Direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("/"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        })
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::DateTime(at) => write!(
                f,
                "datetime'{}'",
                at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            ),
            Self::Null => f.write_str("null"),
        }
    }
}

/// Prints a text that parses to the same expression, as long as it has at most [`MAX_CHARS`].
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(a, b) => write!(f, "({a} and {b})"),
            Self::Or(a, b) => write!(f, "({a} or {b})"),
            Self::Not(a) => write!(f, "not ({a})"),
            Self::Compare { field, op, value } => write!(f, "{field} {op} {value}"),
            Self::Call {
                function,
                field,
                value,
            } => match function {
                Function::Contains => write!(f, "contains({field},{})", quoted(value)),
                Function::SubstringOf => write!(f, "substringof({},{field})", quoted(value)),
                Function::StartsWith => write!(f, "startswith({field},{})", quoted(value)),
                Function::EndsWith => write!(f, "endswith({field},{})", quoted(value)),
            },
            Self::Any {
                field,
                variable,
                body: Some(body),
            } => write!(f, "{field}/any({variable}: {body})"),
            Self::Any { field, .. } => write!(f, "{field}/any()"),
            Self::All {
                field,
                variable,
                body,
            } => write!(f, "{field}/all({variable}: {body})"),
            Self::Bare(field) => write!(f, "{field}"),
        }
    }
}

#[cfg(test)]
mod tests;
