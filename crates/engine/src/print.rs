//! Items, alone or in lists, written as JSON straight from the columns.
//!
//! A page has a hundred items, and an entity and a tree of JSON for each cost several times what Postgres takes to find the rows. So
//! a list's statement has just the columns that a list shows, secrets not among them, and each value goes from its column to the
//! reply's text. What comes out is, member for member, what a GET of the same item says.

use crate::{
    Error, Result,
    column::{ColumnValue as _, Json},
    kind::Kind,
    resource::{ColumnType, Field, FieldAccess, ListEffect, ListParameter},
    sql::snake_table,
    workspace,
};
use sqlx::{Row as _, ValueRef as _, postgres::PgRow, postgres::PgValueRef};
use std::fmt::Write as _;

/// How a column's value becomes JSON.
pub type Print = fn(PgValueRef<'_>, &mut Vec<u8>) -> Result<()>;

/// What replies show of a kind's rows: columns of the row `t`, and the fields in their order after the name.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Of a list: columns and FROM; conditions, order and limit follow. Of an item: the columns alone. The first one is the name.
    pub select: String,
    fields: Vec<Field>,
}

impl Shown {
    /// What a GET shows of the row `t`, whose name stands in the column `named`.
    pub fn item(kind: &dyn Kind, named: &str) -> Self {
        Self::columns(kind, named, |_| true)
    }

    /// The columns of what replies show of a row, and of those fields only that `is_wanted`.
    fn columns(kind: &dyn Kind, named: &str, is_wanted: impl Fn(&Field) -> bool) -> Self {
        let mut select = format!("SELECT t.{named}");
        let mut fields = Vec::new();
        for field in kind.facts().fields {
            let Some(column) = field.column else { continue };
            let hidden = matches!(
                field.access,
                FieldAccess::Internal | FieldAccess::Secret | FieldAccess::WriteOnly
            );
            if hidden || !is_wanted(field) {
                continue;
            }
            let _ = match field.reference {
                // What refers to nothing is not looked for: that would cost a list a fourth of its statement.
                Some(segment) if !segment.is_empty() => write!(
                    select,
                    ", CASE WHEN t.{0} IS NOT NULL THEN (SELECT r.name FROM {1} r WHERE r.id = t.{0}) END",
                    column.name,
                    snake_table(segment)
                ),
                _ => write!(select, ", t.{}", column.name),
            };
            fields.push(*field);
        }
        Self { select, fields }
    }

    /// A list, with the fields that it shows only to who asks, if `is_asked` says so.
    pub fn of(kind: &dyn Kind, is_asked: impl Fn(&ListParameter) -> bool) -> Self {
        let facts = kind.facts();
        let Self {
            mut select,
            mut fields,
        } = Self::columns(kind, "name", |field| {
            let unasked = facts.list_parameters.iter().any(|parameter| {
                matches!(parameter.effect, ListEffect::Show(wire) if wire == field.wire)
                    && !is_asked(parameter)
            });
            !unasked && !facts.omitted_in_list.contains(&field.wire)
        });
        for parameter in facts.list_parameters {
            let ListEffect::Add(wire, sql) = parameter.effect else {
                continue;
            };
            if is_asked(parameter) {
                let _ = write!(select, ", {sql}");
                fields.push(added(wire));
            }
        }
        let _ = write!(select, " FROM {} t", facts.table);
        Self { select, fields }
    }
}

/// A member that a list computes.
fn added(wire: &'static str) -> Field {
    Field {
        wire,
        access: FieldAccess::ReadOnly,
        required: false,
        top_level: false,
        reference: None,
        length: None,
        column: Some(ColumnType {
            name: wire,
            sql: "jsonb",
            nullable: true,
            computed: true,
            print: Json::<serde_json::Value>::print,
        }),
    }
}

/// Writes the items of one list.
pub(crate) struct Printer<'a> {
    shown: &'a Shown,
    /// The id of the service.
    service: &'a str,
    /// `{"id":"…/products/`, as text.
    head: String,
    /// `","type":"…","name":`, as text.
    middle: String,
    open: Option<&'static str>,
}

impl<'a> Printer<'a> {
    /// For items whose ids are `{own}/{name}`.
    pub fn new(
        kind: &dyn Kind,
        shown: &'a Shown,
        service: &'a str,
        own: &str,
        type_name: &str,
    ) -> Self {
        let mut head = b"{\"id\":\"".to_vec();
        escaped(own, &mut head);
        head.push(b'/');
        let mut middle = b"\",\"type\":".to_vec();
        text(&[type_name], &mut middle);
        middle.extend_from_slice(b",\"name\":");
        Self {
            shown,
            service,
            head: String::from_utf8(head).unwrap_or_default(),
            middle: String::from_utf8(middle).unwrap_or_default(),
            open: kind.facts().open,
        }
    }

    /// Writes a row of [`Shown`]; the answer is its name.
    ///
    /// # Errors
    /// When row and kind disagree: ours.
    pub fn item<'r>(&self, row: &'r PgRow, out: &mut Vec<u8>) -> Result<&'r str> {
        let name: &str = row.try_get(0)?;
        out.extend_from_slice(self.head.as_bytes());
        escaped(name, out);
        out.extend_from_slice(self.middle.as_bytes());
        text(&[name], out);
        for (at, field) in self.shown.fields.iter().enumerate() {
            if field.top_level {
                out.push(b',');
                if !self.member(row, at + 1, field, out)? {
                    out.pop();
                }
            }
        }
        out.extend_from_slice(b",\"properties\":");
        match self.open {
            Some(open) => self.all(row, open, out)?,
            None => {
                out.push(b'{');
                let mut is_first = true;
                for (at, field) in self.shown.fields.iter().enumerate() {
                    if field.top_level {
                        continue;
                    }
                    if !is_first {
                        out.push(b',');
                    }
                    if self.member(row, at + 1, field, out)? {
                        is_first = false;
                    } else if !is_first {
                        out.pop();
                    }
                }
                out.push(b'}');
            }
        }
        out.push(b'}');
        Ok(name)
    }

    /// `"wire":value`; nothing, and `false`, for an unset value.
    fn member(&self, row: &PgRow, column: usize, field: &Field, out: &mut Vec<u8>) -> Result<bool> {
        let value = row.try_get_raw(column)?;
        let Some(stored) = field.column.filter(|_| !value.is_null()) else {
            return Ok(false);
        };
        let before = out.len();
        out.push(b'"');
        out.extend_from_slice(field.wire.as_bytes());
        out.extend_from_slice(b"\":");
        let began = out.len();
        match field.reference {
            // As in `encode_value`: ids begin with that of the service.
            Some("") => text(&[self.service, decoded(value)?], out),
            Some(segment) => text(
                &[
                    workspace::base(self.service, segment),
                    "/",
                    segment,
                    "/",
                    decoded(value)?,
                ],
                out,
            ),
            None => (stored.print)(value, out)?,
        }
        if out[began..] == *b"null" {
            out.truncate(before);
            return Ok(false);
        }
        Ok(true)
    }

    /// The one field of a kind whose `properties` are free.
    fn all(&self, row: &PgRow, open: &str, out: &mut Vec<u8>) -> Result<()> {
        let found = self
            .shown
            .fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.wire == open);
        if let Some((at, field)) = found
            && let Some(column) = field.column
        {
            let value = row.try_get_raw(at + 1)?;
            if !value.is_null() {
                return (column.print)(value, out);
            }
        }
        out.extend_from_slice(b"{}");
        Ok(())
    }
}

fn decoded(value: PgValueRef<'_>) -> Result<&str> {
    <&str as sqlx::Decode<'_, sqlx::Postgres>>::decode(value).map_err(Error::Internal)
}

/// The parts as one JSON text.
fn text(parts: &[&str], out: &mut Vec<u8>) {
    out.push(b'"');
    for part in parts {
        escaped(part, out);
    }
    out.push(b'"');
}

fn escaped(part: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if part.bytes().all(is_plain) {
        out.extend_from_slice(part.as_bytes());
    } else {
        let quoted = serde_json::Value::from(part).to_string();
        out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_json() {
        for parts in [
            vec!["plain"],
            vec!["a \"quoted\"", "\\ text\n\u{1}"],
            vec!["", "ž"],
        ] {
            let mut out = Vec::new();
            text(&parts, &mut out);
            assert_eq!(
                serde_json::from_slice::<String>(&out).expect("a text"),
                parts.concat()
            );
        }
    }
}
