//! The table that goes through the experiment, and its two forms outside: JSON of the request–response service, CSV of
//! the batch service.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Rejection;
use crate::feature_hashing::{BUCKETS, bucket_counts};

/// The column that the experiment hashes.
pub const TEXT_COLUMN: &str = "Col2";

/// A table as a caller gives it: every row has a cell for every column; `None` is a missing value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    column_names: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    text_column: usize,
}

/// The experiment's result: the input's columns, then `Col2_HashingFeature.0` to `.7`.
///
/// The names are those which Azure ML's module Feature Hashing gives: it keeps every input column and appends the hash
/// columns, each named after its text column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedTable {
    input: Table,
    counts: Vec<[u32; BUCKETS]>,
}

/// A table in the body of a request to `execute`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonTable {
    #[serde(rename = "ColumnNames")]
    column_names: Vec<String>,
    #[serde(rename = "Values")]
    values: Vec<Vec<Value>>,
}

/// Why a CSV blob is no input for the experiment.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// Not CSV, or not UTF-8; the message has the line.
    #[error("the input is no valid CSV: {0}")]
    Malformed(#[from] csv::Error),
    /// The table does not fit the experiment.
    #[error("{0}")]
    Unfit(Rejection),
}

impl Table {
    fn new(column_names: Vec<String>, rows: Vec<Vec<Option<String>>>) -> Result<Self, Rejection> {
        let text_column = column_names
            .iter()
            .position(|name| name == TEXT_COLUMN)
            .ok_or_else(|| {
                Rejection::bad_table(format!(
                    "The input has no column named '{TEXT_COLUMN}'. Its columns are: {}.",
                    listed(&column_names)
                ))
            })?;
        for (index, name) in column_names.iter().enumerate() {
            if column_names[..index].contains(name) {
                return Err(Rejection::bad_table(format!(
                    "The input has more than one column named '{name}'."
                )));
            }
            if hash_column_names().any(|hash_column| &hash_column == name) {
                return Err(Rejection::bad_table(format!(
                    "The input column '{name}' has the name of a column of the result."
                )));
            }
        }
        for (index, row) in rows.iter().enumerate() {
            if row.len() != column_names.len() {
                return Err(Rejection::bad_table(format!(
                    "Row {} has {} values, but there are {} columns.",
                    index + 1,
                    row.len(),
                    column_names.len()
                )));
            }
            if row[text_column].is_none() {
                return Err(Rejection::bad_table(format!(
                    "Row {} has no value for column '{TEXT_COLUMN}'.",
                    index + 1
                )));
            }
        }
        Ok(Self {
            column_names,
            rows,
            text_column,
        })
    }

    /// Takes the table of a request to `execute`. Numbers and truth values become their text; null is a missing value.
    pub fn from_json(table: JsonTable) -> Result<Self, Rejection> {
        let mut rows = Vec::with_capacity(table.values.len());
        for (row_index, values) in table.values.into_iter().enumerate() {
            let mut row = Vec::with_capacity(values.len());
            for (column_index, value) in values.into_iter().enumerate() {
                row.push(match value {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    Value::Number(number) => Some(number.to_string()),
                    Value::Bool(truth) => Some(truth.to_string()),
                    Value::Array(_) | Value::Object(_) => {
                        return Err(Rejection::bad_table(format!(
                            "Row {}, value {} is an array or object; a value is a string, a number, true, false or null.",
                            row_index + 1,
                            column_index + 1
                        )));
                    }
                });
            }
            rows.push(row);
        }
        Self::new(table.column_names, rows)
    }

    /// Takes CSV with a header line, in UTF-8 with or without a byte order mark. An empty field is an empty text.
    pub fn from_csv(bytes: &[u8]) -> Result<Self, CsvError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::Reader::from_reader(bytes);
        let column_names = reader.headers()?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(record?.iter().map(|field| Some(field.to_owned())).collect());
        }
        Self::new(column_names, rows).map_err(CsvError::Unfit)
    }

    /// Runs the experiment.
    pub fn hashed(self) -> HashedTable {
        let counts = self
            .rows
            .iter()
            .map(|row| bucket_counts(row[self.text_column].as_deref().unwrap_or_default()))
            .collect();
        HashedTable {
            input: self,
            counts,
        }
    }
}

impl HashedTable {
    fn column_names(&self) -> Vec<String> {
        self.input
            .column_names
            .iter()
            .cloned()
            .chain(hash_column_names())
            .collect()
    }

    /// The table's JSON. Values are strings whatever the column's type, as Azure ML gives them; `ColumnTypes` says the
    /// types when `details` is set.
    pub fn to_json(&self, details: bool) -> Value {
        let values: Vec<Vec<Value>> = self
            .input
            .rows
            .iter()
            .zip(&self.counts)
            .map(|(row, counts)| {
                row.iter()
                    .map(|cell| cell.as_deref().map_or(Value::Null, Value::from))
                    .chain(counts.iter().map(|count| Value::from(count.to_string())))
                    .collect()
            })
            .collect();
        if details {
            let types: Vec<&str> = self
                .input
                .column_names
                .iter()
                .map(|_| "String")
                .chain(["Int32"; BUCKETS])
                .collect();
            json!({ "ColumnNames": self.column_names(), "ColumnTypes": types, "Values": values })
        } else {
            json!({ "ColumnNames": self.column_names(), "Values": values })
        }
    }

    /// The table's CSV with a header line.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.column_names())?;
        for (row, counts) in self.input.rows.iter().zip(&self.counts) {
            for cell in row {
                writer.write_field(cell.as_deref().unwrap_or_default())?;
            }
            for count in counts {
                writer.write_field(count.to_string())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))
    }
}

fn hash_column_names() -> impl Iterator<Item = String> {
    (0..BUCKETS).map(|bucket| format!("{TEXT_COLUMN}_HashingFeature.{bucket}"))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(table: Value) -> Result<Table, Rejection> {
        Table::from_json(serde_json::from_value(table).expect("a table"))
    }

    #[test]
    fn csv_comes_back_with_the_hash_columns_behind_its_own() {
        let table = Table::from_csv(
            b"\xef\xbb\xbfId,Col2\r\n7,This is a good day\r\n8,\"with, comma\"\r\n",
        )
        .expect("CSV");
        let csv = String::from_utf8(table.hashed().to_csv().expect("CSV")).expect("UTF-8");
        let mut lines = csv.lines();
        assert_eq!(
            lines.next(),
            Some(
                "Id,Col2,Col2_HashingFeature.0,Col2_HashingFeature.1,Col2_HashingFeature.2,Col2_HashingFeature.3,\
                 Col2_HashingFeature.4,Col2_HashingFeature.5,Col2_HashingFeature.6,Col2_HashingFeature.7"
            )
        );
        assert_eq!(lines.next(), Some("7,This is a good day,1,1,2,2,0,2,0,1"));
        assert!(
            lines
                .next()
                .is_some_and(|line| line.starts_with("8,\"with, comma\","))
        );
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn an_empty_table_stays_empty() {
        let table = from_json(json!({ "ColumnNames": ["Col2"], "Values": [] })).expect("a table");
        assert_eq!(table.hashed().to_json(false)["Values"], json!([]));
    }

    #[test]
    fn numbers_and_missing_values_are_taken_as_azure_ml_takes_them() {
        let table = from_json(json!({ "ColumnNames": ["Col2", "Note"], "Values": [[5, null]] }))
            .expect("a table");
        assert_eq!(
            table,
            Table {
                column_names: vec!["Col2".to_owned(), "Note".to_owned()],
                rows: vec![vec![Some("5".to_owned()), None]],
                text_column: 0,
            }
        );
    }

    #[test]
    fn unfit_tables_are_refused_with_the_reason() {
        for (table, message) in [
            (
                json!({ "ColumnNames": ["Text"], "Values": [] }),
                "The input has no column named 'Col2'. Its columns are: 'Text'.",
            ),
            (
                json!({ "ColumnNames": [], "Values": [] }),
                "The input has no column named 'Col2'. Its columns are: none.",
            ),
            (
                json!({ "ColumnNames": ["Col2", "A", "A"], "Values": [] }),
                "The input has more than one column named 'A'.",
            ),
            (
                json!({ "ColumnNames": ["Col2", "Col2_HashingFeature.3"], "Values": [] }),
                "The input column 'Col2_HashingFeature.3' has the name of a column of the result.",
            ),
            (
                json!({ "ColumnNames": ["Col2"], "Values": [["a"], ["b", "c"]] }),
                "Row 2 has 2 values, but there are 1 columns.",
            ),
            (
                json!({ "ColumnNames": ["Col2"], "Values": [[null]] }),
                "Row 1 has no value for column 'Col2'.",
            ),
            (
                json!({ "ColumnNames": ["Col2"], "Values": [[["a"]]] }),
                "Row 1, value 1 is an array or object; a value is a string, a number, true, false or null.",
            ),
        ] {
            assert_eq!(from_json(table), Err(Rejection::bad_table(message)));
        }
    }

    #[test]
    fn broken_csv_is_refused_with_its_line() {
        let ragged = Table::from_csv(b"Col2\na\nb,c\n")
            .expect_err("ragged")
            .to_string();
        assert!(ragged.contains("line: 3"), "{ragged}");
        let latin1 = Table::from_csv(b"Col2\n\xe4\n")
            .expect_err("not UTF-8")
            .to_string();
        assert!(
            latin1.contains("line 2") && latin1.contains("invalid utf-8"),
            "{latin1}"
        );
    }
}
