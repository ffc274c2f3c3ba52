//! From a field to a column and back: native Postgres types, sealed secrets, references.

use crate::{Error, Result, Violations, workspace};
use chrono::{DateTime, Utc};
use secret_box::SecretBox;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use sqlx::{
    Arguments as _, Decode, Encode, Row as _, Type,
    postgres::{PgArguments, PgRow, PgValueRef},
};
use std::{fmt, sync::Arc};
use uuid::Uuid;

/// What turns stored bytes into values: the key of sealed columns.
#[derive(Clone)]
pub struct Codec {
    /// Seals and opens secret columns.
    pub secrets: Arc<SecretBox>,
}

/// A type that a contract's field may have because a column can hold it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a column",
    note = "wrap nested values in `Json<T>`, derive `TextColumn` for a field-less enum"
)]
pub trait ColumnValue: Sized {
    /// The Postgres type, as `information_schema.columns.udt_name` spells it.
    const SQL: &'static str;
    /// Whether the column may be NULL.
    const NULLABLE: bool;
    /// Adds the value to a statement's arguments.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()>;
    /// Adds a NULL of this type.
    ///
    /// # Errors
    /// Never for the types here; the signature is sqlx's.
    fn bind_null(args: &mut PgArguments) -> Result<()>;
    /// Reads a column that is not NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type: a mistake of ours, named by table and column in the log.
    fn read(row: &PgRow, column: &str, codec: &Codec) -> Result<Self>;
    /// Reads a column that may be NULL.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_option(row: &PgRow, column: &str, codec: &Codec) -> Result<Option<Self>>;
    /// Writes a column that is not NULL as JSON, just as the value that [`read`](Self::read) gives serialises.
    ///
    /// # Errors
    /// When the column is of another type, or holds a secret.
    fn print(value: PgValueRef<'_>, out: &mut Vec<u8>) -> Result<()>;
}

fn decoded<'r, T: Decode<'r, sqlx::Postgres>>(value: PgValueRef<'r>) -> Result<T> {
    T::decode(value).map_err(Error::Internal)
}

fn print<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(Error::internal)
}

fn add<'q, T>(args: &mut PgArguments, value: T) -> Result<()>
where
    T: Encode<'q, sqlx::Postgres> + Type<sqlx::Postgres> + 'q,
{
    args.add(value).map_err(Error::Internal)
}

macro_rules! native {
    ($($ty:ty, $seen:ty => $sql:literal),* $(,)?) => {$(
        impl ColumnValue for $ty {
            const SQL: &'static str = $sql;
            const NULLABLE: bool = false;
            fn bind(&self, args: &mut PgArguments, _: &Codec) -> Result<()> {
                add(args, self.clone())
            }
            fn bind_null(args: &mut PgArguments) -> Result<()> {
                add(args, None::<$ty>)
            }
            fn read(row: &PgRow, column: &str, _: &Codec) -> Result<Self> {
                Ok(row.try_get(column)?)
            }
            fn read_option(row: &PgRow, column: &str, _: &Codec) -> Result<Option<Self>> {
                Ok(row.try_get(column)?)
            }
            fn print(value: PgValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
                print(&decoded::<$seen>(value)?, out)
            }
        }
    )*};
}

native! {
    String, &str => "text",
    bool, bool => "bool",
    i32, i32 => "int4",
    i64, i64 => "int8",
    Uuid, Uuid => "uuid",
    DateTime<Utc>, DateTime<Utc> => "timestamptz",
    Vec<String>, Vec<String> => "_text",
    Vec<u8>, &[u8] => "bytea",
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const SQL: &'static str = T::SQL;
    const NULLABLE: bool = true;
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()> {
        match self {
            Some(value) => value.bind(args, codec),
            None => T::bind_null(args),
        }
    }
    fn bind_null(args: &mut PgArguments) -> Result<()> {
        T::bind_null(args)
    }
    fn read(row: &PgRow, column: &str, codec: &Codec) -> Result<Self> {
        T::read_option(row, column, codec)
    }
    fn read_option(row: &PgRow, column: &str, codec: &Codec) -> Result<Option<Self>> {
        Ok(Some(T::read_option(row, column, codec)?))
    }
    fn print(value: PgValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        T::print(value, out)
    }
}

/// A nested value in a jsonb column. Anything that is filtered or referenced must be a column of its own instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

/// Derived schemas ask every field type for this trait; there is no public way to say "like `T`".
type Composed = utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>;

impl<T: utoipa::ToSchema + utoipa::__dev::ComposeSchema> utoipa::ToSchema for Json<T> {
    /// The inner type's name; a list of `X` is an `XList`, because the library calls every list `Vec`.
    fn name() -> std::borrow::Cow<'static, str> {
        let name = std::any::type_name::<T>();
        match name.split_once('<') {
            Some((outer, inner)) if outer.ends_with("Vec") => {
                let inner = inner
                    .trim_end_matches('>')
                    .rsplit("::")
                    .next()
                    .unwrap_or_default();
                format!("{inner}List").into()
            }
            _ => T::name(),
        }
    }
    fn schemas(schemas: &mut Vec<(String, Composed)>) {
        T::schemas(schemas);
    }
}

impl<T: utoipa::__dev::ComposeSchema> utoipa::__dev::ComposeSchema for Json<T> {
    /// The schema of `T`, which the library gives as the first of our generics where `T` is a list or a map.
    fn compose(generics: Vec<Composed>) -> Composed {
        let composed = std::any::type_name::<T>().contains('<');
        match generics.first() {
            Some(inner) if composed => inner.clone(),
            _ => T::compose(generics),
        }
    }
}

impl<T: Serialize + DeserializeOwned> ColumnValue for Json<T> {
    const SQL: &'static str = "jsonb";
    const NULLABLE: bool = false;
    fn bind(&self, args: &mut PgArguments, _: &Codec) -> Result<()> {
        let value = serde_json::to_value(&self.0).map_err(Error::internal)?;
        add(args, sqlx::types::Json(value))
    }
    fn bind_null(args: &mut PgArguments) -> Result<()> {
        add(args, None::<sqlx::types::Json<Value>>)
    }
    fn read(row: &PgRow, column: &str, _: &Codec) -> Result<Self> {
        let value: sqlx::types::Json<Value> = row.try_get(column)?;
        decode_stored(column, value.0)
    }
    fn read_option(row: &PgRow, column: &str, _: &Codec) -> Result<Option<Self>> {
        let value: Option<sqlx::types::Json<Value>> = row.try_get(column)?;
        value
            .map(|value| decode_stored(column, value.0))
            .transpose()
    }
    fn print(value: PgValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        print(&decoded::<sqlx::types::Json<T>>(value)?.0, out)
    }
}

/// A JSON object that is stored and given back as it came: members of the contract that only clients read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Any(pub Value);

impl TryFrom<Value> for Any {
    type Error = &'static str;

    fn try_from(value: Value) -> std::result::Result<Self, &'static str> {
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err("an object is expected")
        }
    }
}

impl From<Any> for Value {
    fn from(any: Any) -> Self {
        any.0
    }
}

impl utoipa::ToSchema for Any {}
impl utoipa::__dev::ComposeSchema for Any {
    fn compose(_: Vec<Composed>) -> Composed {
        utoipa::openapi::ObjectBuilder::new().into()
    }
}

fn decode_stored<T: DeserializeOwned>(column: &str, value: Value) -> Result<Json<T>> {
    serde_json::from_value(value)
        .map(Json)
        .map_err(|e| Error::internal(format!("column {column}: {e}")))
}

/// A text that is encrypted at rest, redacted in `Debug` and never printed in a reply.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself. Every use is a place where a secret leaves its wrapping.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl utoipa::ToSchema for Secret {}
impl utoipa::__dev::ComposeSchema for Secret {
    fn compose(_: Vec<Composed>) -> Composed {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::schema::SchemaFormat::KnownFormat(
                utoipa::openapi::schema::KnownFormat::Password,
            )))
            .into()
    }
}

/// Purpose bound into every sealed column, so that sealed bytes of another use cannot be pasted into a column.
const SEALED_COLUMN: &str = "engine.column";

impl ColumnValue for Secret {
    const SQL: &'static str = "bytea";
    const NULLABLE: bool = false;
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()> {
        let sealed = codec
            .secrets
            .seal(SEALED_COLUMN, self.0.as_bytes())
            .map_err(Error::internal)?;
        add(args, sealed)
    }
    fn bind_null(args: &mut PgArguments) -> Result<()> {
        add(args, None::<Vec<u8>>)
    }
    fn read(row: &PgRow, column: &str, codec: &Codec) -> Result<Self> {
        open(column, &row.try_get::<Vec<u8>, _>(column)?, codec)
    }
    fn read_option(row: &PgRow, column: &str, codec: &Codec) -> Result<Option<Self>> {
        let sealed: Option<Vec<u8>> = row.try_get(column)?;
        sealed
            .map(|sealed| open(column, &sealed, codec))
            .transpose()
    }
    fn print(_: PgValueRef<'_>, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::internal("a secret was to be printed"))
    }
}

fn open(column: &str, sealed: &[u8], codec: &Codec) -> Result<Secret> {
    codec
        .open(sealed)
        .map_err(|e| Error::internal(format!("column {column}: {e}")))
}

impl Codec {
    /// Seals a secret for a column that a hand-written statement writes.
    ///
    /// # Errors
    /// When sealing fails, which is ours.
    pub fn seal(&self, secret: &Secret) -> Result<Vec<u8>> {
        self.secrets
            .seal(SEALED_COLUMN, secret.0.as_bytes())
            .map_err(Error::internal)
    }

    /// Opens a sealed column.
    ///
    /// # Errors
    /// When the bytes were sealed under another key or were changed.
    pub fn open(&self, sealed: &[u8]) -> Result<Secret> {
        let plain = self
            .secrets
            .open(SEALED_COLUMN, sealed)
            .map_err(Error::internal)?;
        String::from_utf8(plain.to_vec())
            .map(Secret)
            .map_err(Error::internal)
    }
}

/// A reference to a sibling row under the same service: stores the row's uuid, prints the resource id.
///
/// Between decoding and the write it holds the name only; the engine looks the row up before `prepare` runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ref {
    /// The row, once resolved.
    pub id: Option<Uuid>,
    /// The last segment of the resource id (after resolution: as stored).
    pub name: String,
}

impl Serialize for Ref {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Ref {
    /// Keeps the text as given; [`Reference::refs`] hands it to the engine, which reads it as an id.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            id: None,
            name: String::deserialize(deserializer)?,
        })
    }
}

impl utoipa::ToSchema for Ref {}
impl utoipa::__dev::ComposeSchema for Ref {
    fn compose(_: Vec<Composed>) -> Composed {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .into()
    }
}

impl ColumnValue for Ref {
    const SQL: &'static str = "uuid";
    const NULLABLE: bool = false;
    fn bind(&self, args: &mut PgArguments, _: &Codec) -> Result<()> {
        let id = self
            .id
            .ok_or_else(|| Error::internal("an unresolved reference was bound"))?;
        add(args, id)
    }
    fn bind_null(args: &mut PgArguments) -> Result<()> {
        add(args, None::<Uuid>)
    }
    fn read(row: &PgRow, column: &str, codec: &Codec) -> Result<Self> {
        Self::read_option(row, column, codec)?
            .ok_or_else(|| Error::internal(format!("column {column} is null")))
    }
    fn read_option(row: &PgRow, column: &str, _: &Codec) -> Result<Option<Self>> {
        let id: Option<Uuid> = row.try_get(column)?;
        let Some(id) = id else { return Ok(None) };
        let name: String = row.try_get(format!("{column}__name").as_str())?;
        Ok(Some(Self { id: Some(id), name }))
    }
    /// The name, which a list's statement has instead of the row's id.
    fn print(value: PgValueRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        print(&decoded::<&str>(value)?, out)
    }
}

/// The shapes a `reference` field may have.
pub trait Reference {
    /// Hands out the references inside, with wire name and segment.
    fn refs<'a>(
        &'a mut self,
        wire: &'static str,
        segment: Option<&'static str>,
        out: &mut Vec<(&'static str, &'static str, &'a mut Ref)>,
    );
}

impl Reference for Ref {
    fn refs<'a>(
        &'a mut self,
        wire: &'static str,
        segment: Option<&'static str>,
        out: &mut Vec<(&'static str, &'static str, &'a mut Ref)>,
    ) {
        if let Some(segment) = segment {
            out.push((wire, segment, self));
        }
    }
}

impl Reference for Option<Ref> {
    fn refs<'a>(
        &'a mut self,
        wire: &'static str,
        segment: Option<&'static str>,
        out: &mut Vec<(&'static str, &'static str, &'a mut Ref)>,
    ) {
        if let Some(inner) = self {
            inner.refs(wire, segment, out);
        }
    }
}

/// Where an entity stands, for printing ids inside it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The id of the service: `/subscriptions/…/service/{name}`.
    pub service: &'a str,
}

/// Takes the members that are null out of objects: clients write what is unset that way (contract rules §2).
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Decodes one field and records what is wrong with it under its wire name and the path inside it.
pub fn decode_value<T: DeserializeOwned>(
    wire: &str,
    value: Value,
    violations: &mut Violations,
) -> Option<T> {
    let decoded = serde_path_to_error::deserialize::<_, T>(&value).or_else(|_| {
        // Only what is refused otherwise: nulls of free documents stay as they were given.
        let mut value = value;
        without_nulls(&mut value);
        serde_path_to_error::deserialize::<_, T>(&value)
    });
    match decoded {
        Ok(value) => Some(value),
        Err(error) => {
            let path = error.path().to_string();
            let target = match path.as_str() {
                "." => wire.to_owned(),
                path if path.starts_with('[') => format!("{wire}{path}"),
                path => format!("{wire}.{path}"),
            };
            violations.add(target, format!("is not valid: {}", error.into_inner()));
            None
        }
    }
}

/// Prints one field; an unset value is left out, as in the contract's examples.
pub fn encode_value<T: Serialize>(
    out: &mut Map<String, Value>,
    wire: &str,
    value: &T,
    reference: Option<&'static str>,
    place: &Place<'_>,
) {
    match serde_json::to_value(value) {
        Ok(Value::Null) => {}
        Ok(Value::String(text)) => {
            let text = match reference {
                // A path below the service, such as a subscription's scope.
                Some("") => format!("{}{text}", place.service),
                Some(segment) => format!(
                    "{}/{segment}/{text}",
                    workspace::base(place.service, segment)
                ),
                None => text,
            };
            out.insert(wire.to_owned(), Value::String(text));
        }
        Ok(value) => {
            out.insert(wire.to_owned(), value);
        }
        // Contract types serialise by construction: maps have text keys and no type refuses.
        Err(error) => tracing::error!(%error, wire, "a field could not be printed"),
    }
}

/// A value whose length in characters can be limited.
pub trait Length {
    /// The text, if there is one.
    fn text(&self) -> Option<&str>;
}
impl Length for String {
    fn text(&self) -> Option<&str> {
        Some(self)
    }
}
impl Length for Secret {
    fn text(&self) -> Option<&str> {
        Some(&self.0)
    }
}
impl<T: Length> Length for Option<T> {
    fn text(&self) -> Option<&str> {
        self.as_ref().and_then(Length::text)
    }
}

/// Checks the `length` mark of a field.
pub fn check_length<T: Length>(
    wire: &str,
    value: &T,
    min: usize,
    max: usize,
    violations: &mut Violations,
) {
    if let Some(text) = value.text() {
        violations.length(wire, text, min..=max);
    }
}

/// The text that serde gives a field-less enum.
///
/// # Errors
/// When the type is not a field-less enum: ours.
pub fn enum_text<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => Ok(text),
        other => Err(Error::internal(format!("not a field-less enum: {other:?}"))),
    }
}

/// The enum that serde reads from a stored text.
///
/// # Errors
/// When the text is no variant: the column's CHECK and the enum disagree.
pub fn enum_value<T: DeserializeOwned>(column: &str, text: &str) -> Result<T> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|e| Error::internal(format!("column {column}: {e}")))
}

impl Reference for String {
    /// A path below the service (`reference = ""`): the kind resolves it itself in `prepare`.
    fn refs<'a>(
        &'a mut self,
        _: &'static str,
        _: Option<&'static str>,
        _: &mut Vec<(&'static str, &'static str, &'a mut Ref)>,
    ) {
    }
}
