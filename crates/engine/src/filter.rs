//! `$filter` and `$orderby`: what a kind lets callers filter and order by, and the SQL of both.
//!
//! The expression is parsed by `odata`; here its fields are looked up in the kind's list and its
//! values are bound. Texts compare without regard to case, as the contract's service does.

use crate::{Error, Result, ServiceAt, strip_service, workspace};
use odata::{Direction, Expr, Field, Function, Literal, Op};
use sqlx::{Arguments as _, postgres::PgArguments};

/// A field that `$filter` may name, with or without `properties/` before it.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Wire name.
    pub field: &'static str,
    /// Column of the row.
    pub column: &'static str,
    /// How it compares.
    pub kind: FilterKind,
    /// Whether an index of the table has the rows of a parent in the order of this field.
    pub is_indexed: bool,
}

/// How a field compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterKind {
    /// Text: all comparisons and functions.
    Text,
    /// Text or enum: `eq` and `ne` only.
    Equal,
    /// Boolean.
    Bool,
    /// Whole number.
    Number,
    /// Time.
    Date,
    /// A resource id below the service, stored without the service's part: `/products/starter`.
    Path,
    /// The same, compared by every operator.
    OrderedPath,
    /// A reference to a row of this table, named by resource id.
    Ref(&'static str),
    /// An array of texts, for `any` and `all`.
    Texts,
}

impl Filter {
    const fn new(field: &'static str, column: &'static str, kind: FilterKind) -> Self {
        Self {
            field,
            column,
            kind,
            is_indexed: false,
        }
    }
    /// Where an index of the table has the rows of a parent in the order of this field.
    #[must_use]
    pub const fn indexed(self) -> Self {
        Self {
            is_indexed: true,
            ..self
        }
    }
    /// The resource's name, which every table has an index of.
    #[must_use]
    pub const fn name() -> Self {
        Self::new("name", "name", FilterKind::Text).indexed()
    }
    /// A text.
    #[must_use]
    pub const fn text(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Text)
    }
    /// A text or enum that only compares for equality.
    #[must_use]
    pub const fn equal(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Equal)
    }
    /// A boolean.
    #[must_use]
    pub const fn bool(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Bool)
    }
    /// A whole number.
    #[must_use]
    pub const fn number(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Number)
    }
    /// A time.
    #[must_use]
    pub const fn date(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Date)
    }
    /// A resource id below the service.
    #[must_use]
    pub const fn path(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Path)
    }
    /// A resource id below the service that all operators compare.
    #[must_use]
    pub const fn ordered_path(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::OrderedPath)
    }
    /// A reference to a row of a table.
    #[must_use]
    pub const fn reference(field: &'static str, column: &'static str, table: &'static str) -> Self {
        Self::new(field, column, FilterKind::Ref(table))
    }
    /// An array of texts.
    #[must_use]
    pub const fn texts(field: &'static str, column: &'static str) -> Self {
        Self::new(field, column, FilterKind::Texts)
    }
}

/// Arguments of a statement under construction, with the number of the next parameter.
pub(crate) struct Bound<'a> {
    pub args: &'a mut PgArguments,
    pub count: usize,
    pub service_path: &'a str,
    /// The service that all rows belong to, if that is known.
    pub service: Option<&'a ServiceAt>,
}

impl Bound<'_> {
    /// Binds a value and returns its placeholder.
    pub fn add<'q, T>(&mut self, value: T) -> Result<String>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + 'q,
    {
        self.args.add(value).map_err(Error::Internal)?;
        self.count += 1;
        Ok(format!("${}", self.count))
    }
}

/// The SQL condition of a `$filter` text.
///
/// # Errors
/// A violation of `$filter` that says where and what, and which fields may be named.
pub(crate) fn condition(text: &str, filters: &[Filter], bound: &mut Bound<'_>) -> Result<String> {
    let expr = odata::parse_filter(text).map_err(|e| {
        Error::invalid(
            "$filter",
            format!("cannot be read at character {}: {}", e.position, e.message),
        )
    })?;
    Compiler {
        filters,
        variable: None,
    }
    .expr(&expr, bound)
}

/// The filter that a field names, with or without `properties/` before it.
fn named<'f>(field: &Field, filters: &'f [Filter]) -> Option<&'f Filter> {
    let name = match field.path.as_slice() {
        [name] => name,
        [head, name] if head.eq_ignore_ascii_case("properties") => name,
        _ => return None,
    };
    filters.iter().find(|f| f.field.eq_ignore_ascii_case(name))
}

/// How the rows of a `$filter` text are best counted up to a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counting {
    /// The order that leads Postgres along the index of a range. Without it the whole table may seem shorter where few rows are in the
    /// range, because Postgres does not know that it would meet them last.
    pub order: Option<String>,
    /// Whether an index finds the rows; none finds parts of texts that are shorter than this many characters.
    pub is_found: bool,
}

/// Characters that an index of trigrams needs.
const TRIGRAM: usize = 3;

/// How to count the rows of a `$filter` text that [`condition`] understands.
pub(crate) fn counting(text: &str, filters: &[Filter]) -> Counting {
    odata::parse_filter(text).map_or(
        Counting {
            order: None,
            is_found: true,
        },
        |expr| Counting {
            order: range(&expr, filters),
            is_found: !has_short_part(&expr),
        },
    )
}

/// The order of a range that all rows of the filter are in.
fn range(expr: &Expr, filters: &[Filter]) -> Option<String> {
    match expr {
        Expr::And(a, b) => range(a, filters).or_else(|| range(b, filters)),
        Expr::Compare {
            field,
            op: Op::Gt | Op::Ge | Op::Lt | Op::Le,
            value: Literal::Text(_),
        } => {
            let filter = named(field, filters).filter(|f| f.is_indexed)?;
            Some(format!("lower(t.{})", filter.column))
        }
        _ => None,
    }
}

fn has_short_part(expr: &Expr) -> bool {
    match expr {
        Expr::And(a, b) | Expr::Or(a, b) => has_short_part(a) || has_short_part(b),
        Expr::Not(a) => has_short_part(a),
        Expr::Call {
            function, value, ..
        } => *function != Function::StartsWith && value.chars().count() < TRIGRAM,
        _ => false,
    }
}

/// The SQL order of an `$orderby` text, over the fields that the kind can be filtered by; texts order without regard to case.
///
/// # Errors
/// A violation of `$orderby` that says where and what, and which fields may be named.
pub(crate) fn order(text: &str, filters: &[Filter]) -> Result<String> {
    let wrong = |message: String| Error::invalid("$orderby", message);
    let fields = odata::parse_order_by(text).map_err(|e| {
        wrong(format!(
            "cannot be read at character {}: {}",
            e.position, e.message
        ))
    })?;
    let ordered = |kind: FilterKind| !matches!(kind, FilterKind::Texts | FilterKind::Ref(_));
    let mut columns = Vec::new();
    for (field, direction) in fields {
        let Some(filter) = named(&field, filters).filter(|f| ordered(f.kind)) else {
            let known: Vec<&str> = filters
                .iter()
                .filter(|f| ordered(f.kind))
                .map(|f| f.field)
                .collect();
            return Err(wrong(format!(
                "names the field '{}' at character {}; this list can be ordered by {}",
                field.path.join("/"),
                field.position,
                if known.is_empty() {
                    "nothing".to_owned()
                } else {
                    known.join(", ")
                }
            )));
        };
        let column = match filter.kind {
            FilterKind::Text => format!("lower(t.{})", filter.column),
            _ => format!("t.{}", filter.column),
        };
        columns.push(format!(
            "{column} {} NULLS LAST",
            if direction == Direction::Descending {
                "DESC"
            } else {
                "ASC"
            }
        ));
    }
    // The name makes the order total, so that pages neither repeat nor miss a row.
    columns.push("lower(t.name)".to_owned());
    Ok(columns.join(", "))
}

struct Compiler<'a> {
    filters: &'a [Filter],
    /// Inside `any` and `all`: the variable, which stands for a text element named `e`.
    variable: Option<&'a str>,
}

/// The comparison that holds where this one does not.
fn opposite(expr: &Expr) -> Option<Expr> {
    let Expr::Compare { field, op, value } = expr else {
        return None;
    };
    let op = match op {
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::Gt | Op::Ge | Op::Lt | Op::Le => return None,
    };
    Some(Expr::Compare {
        field: field.clone(),
        op,
        value: value.clone(),
    })
}

/// The text as `LIKE` takes it literally.
fn like_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn wrong(message: impl Into<String>) -> Error {
    Error::invalid("$filter", message)
}

impl Compiler<'_> {
    fn field(&self, field: &Field) -> Result<(String, FilterKind)> {
        let path: Vec<&str> = field.path.iter().map(String::as_str).collect();
        if let Some(variable) = self.variable {
            return match path.as_slice() {
                [name] if name.eq_ignore_ascii_case(variable) => {
                    Ok(("e".to_owned(), FilterKind::Text))
                }
                _ => Err(wrong(format!(
                    "names '{}' where only '{variable}' is known",
                    path.join("/")
                ))),
            };
        }
        match named(field, self.filters) {
            Some(filter) => Ok((format!("t.{}", filter.column), filter.kind)),
            None => Err(wrong(format!(
                "names the field '{}' at character {}; this list can be filtered by {}",
                path.join("/"),
                field.position,
                match self.filters {
                    [] => "nothing".to_owned(),
                    some => some.iter().map(|f| f.field).collect::<Vec<_>>().join(", "),
                }
            ))),
        }
    }

    fn expr(&self, expr: &Expr, bound: &mut Bound<'_>) -> Result<String> {
        Ok(match expr {
            Expr::And(a, b) => format!("({} AND {})", self.expr(a, bound)?, self.expr(b, bound)?),
            Expr::Or(a, b) => format!("({} OR {})", self.expr(a, bound)?, self.expr(b, bound)?),
            Expr::Not(a) => match opposite(a) {
                Some(opposite) => self.expr(&opposite, bound)?,
                None => format!("(NOT coalesce({}, false))", self.expr(a, bound)?),
            },
            Expr::Compare { field, op, value } => self.compare(field, *op, value, bound)?,
            Expr::Call {
                function,
                field,
                value,
            } => self.call(field, *function, value, bound)?,
            Expr::Bare(field) => match self.field(field)? {
                (column, FilterKind::Bool) => column,
                _ => {
                    return Err(wrong(format!(
                        "uses '{}' as a condition, which is not a boolean",
                        field.path.join("/")
                    )));
                }
            },
            Expr::Any {
                field,
                variable,
                body,
            } => {
                let column = self.texts(field)?;
                match body {
                    None => format!("cardinality({column}) > 0"),
                    Some(body) => {
                        let inner = Compiler {
                            filters: &[],
                            variable: Some(variable),
                        }
                        .expr(body, bound)?;
                        format!("EXISTS (SELECT FROM unnest({column}) AS e WHERE {inner})")
                    }
                }
            }
            Expr::All {
                field,
                variable,
                body,
            } => {
                let column = self.texts(field)?;
                let inner = Compiler {
                    filters: &[],
                    variable: Some(variable),
                }
                .expr(body, bound)?;
                format!("NOT EXISTS (SELECT FROM unnest({column}) AS e WHERE NOT ({inner}))")
            }
        })
    }

    fn texts(&self, field: &Field) -> Result<String> {
        match self.field(field)? {
            (column, FilterKind::Texts) => Ok(column),
            _ => Err(wrong(format!(
                "uses any or all on '{}', which is not a collection",
                field.path.join("/")
            ))),
        }
    }

    fn compare(
        &self,
        field: &Field,
        op: Op,
        value: &Literal,
        bound: &mut Bound<'_>,
    ) -> Result<String> {
        let (column, kind) = self.field(field)?;
        let name = field.path.join("/");
        let sign = match op {
            Op::Eq => "=",
            Op::Ne => "<>",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::Lt => "<",
            Op::Le => "<=",
        };
        let equality = matches!(op, Op::Eq | Op::Ne);
        if *value == Literal::Null {
            return match op {
                Op::Eq => Ok(format!("{column} IS NULL")),
                Op::Ne => Ok(format!("{column} IS NOT NULL")),
                _ => Err(wrong(format!("compares '{name}' with null by {sign}"))),
            };
        }
        let mismatch = |wanted: &str| {
            Err(wrong(format!(
                "compares '{name}' with something that is not {wanted}"
            )))
        };
        let unordered = || {
            Err(wrong(format!(
                "compares '{name}' by an operator other than eq and ne"
            )))
        };
        let (left, right) = match (kind, value) {
            (FilterKind::Text, Literal::Text(text)) => (
                format!("lower({column})"),
                format!("lower({})", bound.add(text.clone())?),
            ),
            (FilterKind::Equal, Literal::Text(text)) if equality => (
                format!("lower({column})"),
                format!("lower({})", bound.add(text.clone())?),
            ),
            (FilterKind::Path | FilterKind::OrderedPath, Literal::Text(text))
                if equality || kind == FilterKind::OrderedPath =>
            {
                let path = strip_service(text, bound.service_path).ok_or_else(|| {
                    wrong(format!(
                        "compares '{name}' with a resource id outside this service"
                    ))
                })?;
                let path = if path.is_empty() {
                    "/".to_owned()
                } else {
                    path
                };
                (
                    format!("lower({column})"),
                    format!("lower({})", bound.add(path)?),
                )
            }
            (FilterKind::Ref(table), Literal::Text(text)) if equality => {
                let last = text
                    .trim_end_matches('/')
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let last = bound.add(last)?;
                if let (Op::Eq, Some(service)) = (op, bound.service) {
                    // The row is found once, by its index, and the list's rows by theirs.
                    let service = if workspace::is_shared(table) {
                        service.root
                    } else {
                        service.id
                    };
                    let service = bound.add(service)?;
                    return Ok(format!(
                        "{column} = (SELECT r.id FROM {table} r WHERE r.parent_id = {service} AND lower(r.name) = lower({last}))"
                    ));
                }
                (
                    format!("(SELECT lower(r.name) FROM {table} r WHERE r.id = {column})"),
                    format!("lower({last})"),
                )
            }
            (
                FilterKind::Equal | FilterKind::Path | FilterKind::OrderedPath | FilterKind::Ref(_),
                Literal::Text(_),
            ) => {
                return unordered();
            }
            (
                FilterKind::Text
                | FilterKind::Equal
                | FilterKind::Path
                | FilterKind::OrderedPath
                | FilterKind::Ref(_),
                _,
            ) => {
                return mismatch("a text");
            }
            (FilterKind::Bool, Literal::Bool(value)) if equality => {
                (column.clone(), bound.add(*value)?)
            }
            (FilterKind::Bool, Literal::Bool(_)) => return unordered(),
            (FilterKind::Bool, _) => return mismatch("true or false"),
            (FilterKind::Number, Literal::Number(value)) => {
                (format!("{column}::float8"), bound.add(*value)?)
            }
            (FilterKind::Number, _) => return mismatch("a number"),
            (FilterKind::Date, Literal::DateTime(at)) => (column.clone(), bound.add(*at)?),
            (FilterKind::Date, _) => return mismatch("a time"),
            (FilterKind::Texts, _) => {
                return Err(wrong(format!(
                    "compares the collection '{name}'; use any or all"
                )));
            }
        };
        // An unset value differs from every value.
        Ok(match (op, kind) {
            // In parts that an index serves: usually all rows differ, but where few do they are not searched for among the others.
            (
                Op::Ne,
                FilterKind::Text | FilterKind::Equal | FilterKind::Path | FilterKind::OrderedPath,
            ) => format!("({left} < {right} OR {left} > {right} OR {left} IS NULL)"),
            (Op::Ne, _) => format!("({left} IS DISTINCT FROM {right})"),
            _ => format!("{left} {sign} {right}"),
        })
    }

    fn call(
        &self,
        field: &Field,
        function: Function,
        value: &str,
        bound: &mut Bound<'_>,
    ) -> Result<String> {
        let (column, kind) = self.field(field)?;
        let value = match kind {
            FilterKind::Text => value.to_owned(),
            FilterKind::Path | FilterKind::OrderedPath => {
                strip_service(value, bound.service_path).unwrap_or_else(|| value.to_owned())
            }
            FilterKind::Ref(_) => value
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            _ => {
                return Err(wrong(format!(
                    "calls a text function on '{}'",
                    field.path.join("/")
                )));
            }
        };
        let literal = like_literal(&value);
        let pattern = bound.add(match function {
            Function::Contains | Function::SubstringOf => format!("%{literal}%"),
            Function::StartsWith => format!("{literal}%"),
            Function::EndsWith => format!("%{literal}"),
        })?;
        // LIKE is what an index on trigrams serves; it stands over this expression, so that nothing else uses it.
        let contained = |column: &str| format!("(lower({column}) || '') LIKE lower({pattern})");
        match (kind, bound.service) {
            (FilterKind::Ref(table), Some(service)) => {
                // The rows that are referred to are found once.
                let service = if workspace::is_shared(table) {
                    service.root
                } else {
                    service.id
                };
                let (service, contained) = (bound.add(service)?, contained("r.name"));
                Ok(format!(
                    "{column} = ANY(ARRAY(SELECT r.id FROM {table} r WHERE r.parent_id = {service} AND {contained}))"
                ))
            }
            (FilterKind::Ref(table), None) => Ok(contained(&format!(
                "(SELECT r.name FROM {table} r WHERE r.id = {column})"
            ))),
            // The beginnings of long texts are found by an index in the order of their characters, where there is one.
            _ if function == Function::StartsWith && self.variable.is_none() => Ok(format!(
                "(lower({column}) LIKE lower({pattern}) AND {})",
                contained(&column)
            )),
            _ => Ok(contained(&column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_counted_along_its_index_and_a_short_part_not_for_long() {
        const FILTERS: &[Filter] = &[
            Filter::name(),
            Filter::text("displayName", "display_name").indexed(),
            Filter::text("description", "description"),
        ];
        let counted = |text: &str| {
            let Counting { order, is_found } = counting(text, FILTERS);
            (order.unwrap_or_default(), is_found)
        };
        let along = |column: &str| (format!("lower(t.{column})"), true);
        let anyhow = (String::new(), true);
        assert_eq!(counted("name ge 'm'"), along("name"));
        assert_eq!(
            counted("properties/displayName lt 'm' and description ge 'a'"),
            along("display_name")
        );
        for text in [
            "description ge 'm'",
            "name eq 'm'",
            "name ge 'm' or displayName ge 'm'",
            "not (name ge 'm')",
            "startswith(name, 'm')",
            "contains(name, 'mno')",
        ] {
            assert_eq!(counted(text), anyhow, "{text}");
        }
        for text in [
            "contains(name, 'mn')",
            "name eq 'm' or endswith(displayName, 'é€')",
        ] {
            assert_eq!(counted(text), (String::new(), false), "{text}");
        }
    }
}
