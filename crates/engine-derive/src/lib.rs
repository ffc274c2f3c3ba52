//! `#[derive(Contract)]` and `#[derive(TextColumn)]`: what a resource kind stores and says, from one struct.
//!
//! `Contract` turns the fields of a struct into the engine's table of fields and writes the code that
//! decodes a request body (naming *every* violation by its wire field), encodes a reply, and binds and
//! reads the typed columns. The wire name of a field is its name in camelCase, its column the name itself.
//!
//! | `#[contract(..)]` on a field | meaning |
//! | --- | --- |
//! | `default = expr` | value when the body leaves the field out (a non-`Option` field without it is required) |
//! | `read_only` | ignored in a body, kept on update; the server writes it in `prepare` |
//! | `write_only` | read from a body, has no column, never printed |
//! | `internal` | a column that is not on the wire |
//! | `secret` | accepted in a body, encrypted column, never printed; kept when a body leaves it out |
//! | `computed` | a column that the database computes from others: read, never written |
//! | `kept` | an ordinary field that keeps its stored value when a PUT leaves it out |
//! | `top_level` | stands beside `properties` in the envelope instead of inside |
//! | `reference = "users"` | a `Ref` to a row of that sibling kind under the same service |
//! | `length(1..=300)` | length limits in characters of a text that a body gives; `1..` has no upper one |
//! | `wire = "name"` | another wire name |
//!
//! Errors point at the field: an unstorable type says that it does not implement `ColumnValue`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{
    Data, DeriveInput, Expr, ExprRange, Field, Fields, Ident, LitStr, RangeLimits, Type,
    parse_macro_input, spanned::Spanned,
};

#[derive(Default)]
struct Marks {
    default: Option<Expr>,
    read_only: bool,
    write_only: bool,
    internal: bool,
    secret: bool,
    computed: bool,
    kept: bool,
    top_level: bool,
    reference: Option<LitStr>,
    length: Option<(Expr, Expr)>,
    wire: Option<LitStr>,
}

fn marks(field: &Field) -> syn::Result<Marks> {
    let mut marks = Marks::default();
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("contract")) {
        attribute.parse_nested_meta(|meta| {
            let flag = meta
                .path
                .get_ident()
                .map(ToString::to_string)
                .unwrap_or_default();
            match flag.as_str() {
                "default" => marks.default = Some(meta.value()?.parse()?),
                "read_only" => marks.read_only = true,
                "write_only" => marks.write_only = true,
                "internal" => marks.internal = true,
                "secret" => marks.secret = true,
                "computed" => marks.computed = true,
                "kept" => marks.kept = true,
                "top_level" => marks.top_level = true,
                "reference" => marks.reference = Some(meta.value()?.parse()?),
                "wire" => marks.wire = Some(meta.value()?.parse()?),
                "length" => {
                    let inner;
                    syn::parenthesized!(inner in meta.input);
                    let range: ExprRange = inner.parse()?;
                    match (range.start, range.limits, range.end) {
                        (Some(start), RangeLimits::Closed(_), Some(end)) => {
                            marks.length = Some((*start, *end));
                        }
                        (Some(start), RangeLimits::HalfOpen(_), None) => {
                            marks.length = Some((*start, syn::parse_quote!(usize::MAX)));
                        }
                        _ => {
                            return Err(meta
                                .error("expected a range such as 1..=300, or 1.. without an end"));
                        }
                    }
                }
                _ => {
                    return Err(
                        meta.error("unknown mark; see the table in the docs of engine-derive")
                    );
                }
            }
            Ok(())
        })?;
    }
    Ok(marks)
}

fn camel(name: &Ident) -> String {
    let text = name.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let mut out = String::with_capacity(text.len());
    let mut upper = false;
    for c in text.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            out.extend(c.to_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}

/// `Option<T>` or not, by the last path segment: the only shape that makes a field optional.
fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(p) if p.path.segments.last().is_some_and(|s| s.ident == "Option"))
}

/// Derives `engine::Contract`. See the crate documentation for the marks.
#[proc_macro_derive(Contract, attributes(contract))]
pub fn contract(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_contract(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

fn expand_contract(input: &DeriveInput) -> syn::Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new(
            input.span(),
            "a contract is a struct with named fields",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new(
            input.span(),
            "a contract is a struct with named fields",
        ));
    };
    let name = &input.ident;
    let mut table = Vec::new();
    let mut decode = Vec::new();
    let mut build = Vec::new();
    let mut encode = Vec::new();
    let mut bind = Vec::new();
    let mut read = Vec::new();
    let mut carry = Vec::new();
    let mut references = Vec::new();

    for field in &fields.named {
        let marks = marks(field)?;
        let Some(ident) = &field.ident else { continue };
        let ty = &field.ty;
        let wire = marks
            .wire
            .as_ref()
            .map_or_else(|| camel(ident), LitStr::value);
        let text = ident.to_string();
        let column = text.strip_prefix("r#").unwrap_or(&text).to_owned();
        let optional = is_option(ty);
        let access = if marks.internal {
            quote!(Internal)
        } else if marks.read_only {
            quote!(ReadOnly)
        } else if marks.write_only {
            quote!(WriteOnly)
        } else if marks.secret {
            quote!(Secret)
        } else {
            quote!(ReadWrite)
        };
        let required = !optional && marks.default.is_none() && !marks.read_only && !marks.internal;
        let (top_level, computed) = (marks.top_level, marks.computed);
        let reference = marks
            .reference
            .as_ref()
            .map_or_else(|| quote!(None), |r| quote!(Some(#r)));
        let sql = if marks.write_only {
            quote!(None)
        } else {
            quote!(Some(::engine::ColumnType {
                name: #column,
                sql: <#ty as ::engine::ColumnValue>::SQL,
                nullable: <#ty as ::engine::ColumnValue>::NULLABLE,
                computed: #computed,
                print: <#ty as ::engine::ColumnValue>::print,
            }))
        };
        let length = marks
            .length
            .as_ref()
            .map_or_else(|| quote!(None), |(min, max)| quote!(Some((#min, #max))));
        table.push(quote!(::engine::Field {
            wire: #wire,
            access: ::engine::FieldAccess::#access,
            required: #required,
            top_level: #top_level,
            reference: #reference,
            length: #length,
            column: #sql,
        }));

        let fallback = marks.default.as_ref().map_or_else(
            || quote!(<#ty as ::std::default::Default>::default()),
            |expr| quote!(#expr),
        );
        let holder = format_ident!("field_{}", column);
        if marks.read_only || marks.internal {
            build.push(quote!(#ident: #fallback));
        } else {
            let absent = if required {
                quote!({ violations.add(#wire, "is required"); None })
            } else {
                quote!(Some(#fallback))
            };
            // A default may be outside the limits: an empty text that `prepare` fills.
            let check = marks.length.as_ref().map(|(min, max)| {
                quote!(if let Some(value) = &given {
                    ::engine::check_length(#wire, value, #min, #max, violations);
                })
            });
            decode.push(quote!(
                let #holder: Option<#ty> = match body.remove(#wire) {
                    None | Some(::engine::Value::Null) => #absent,
                    Some(value) => {
                        let given: Option<#ty> = ::engine::decode_value(#wire, value, violations);
                        #check
                        given
                    }
                };
            ));
            build.push(quote!(#ident: #holder?));
        }
        if !(marks.internal || marks.write_only || marks.secret) {
            encode
                .push(quote!(::engine::encode_value(out, #wire, &self.#ident, #reference, place);));
        }
        if !marks.write_only {
            if !marks.computed {
                bind.push(quote!(::engine::ColumnValue::bind(&self.#ident, args, codec)?;));
            }
            read.push(quote!(#ident: ::engine::ColumnValue::read(row, #column, codec)?));
        } else {
            read.push(quote!(#ident: #fallback));
        }
        if marks.read_only || marks.internal {
            carry.push(quote!(self.#ident = stored.#ident.clone();));
        } else if marks.secret || marks.kept {
            carry.push(quote!(if !given(#wire) { self.#ident = stored.#ident.clone(); }));
        }
        if marks.reference.is_some() {
            references.push(
                quote!(::engine::Reference::refs(&mut self.#ident, #wire, #reference, &mut out);),
            );
        }
    }

    Ok(quote! {
        impl ::engine::Contract for #name {
            const FIELDS: &'static [::engine::Field] = &[#(#table),*];
            fn decode(
                body: &mut ::engine::Map<String, ::engine::Value>,
                violations: &mut ::engine::Violations,
            ) -> Option<Self> {
                #(#decode)*
                Some(Self { #(#build),* })
            }
            fn encode(&self, out: &mut ::engine::Map<String, ::engine::Value>, place: &::engine::Place<'_>) {
                #(#encode)*
            }
            fn bind(&self, args: &mut ::engine::PgArguments, codec: &::engine::Codec) -> ::engine::Result<()> {
                #(#bind)*
                Ok(())
            }
            fn read(row: &::engine::PgRow, codec: &::engine::Codec) -> ::engine::Result<Self> {
                Ok(Self { #(#read),* })
            }
            fn carry(&mut self, stored: &Self, given: &dyn Fn(&str) -> bool) {
                #(#carry)*
                let _ = (stored, given);
            }
            fn references(&mut self) -> Vec<(&'static str, &'static str, &mut ::engine::Ref)> {
                let mut out = Vec::new();
                #(#references)*
                out
            }
        }
    })
}

/// Derives `engine::ColumnValue` for a field-less enum that is stored as text, spelled as serde spells it.
///
/// The enum must also derive `Serialize` and `Deserialize`; `Option<Enum>` is then storable, too.
#[proc_macro_derive(TextColumn)]
pub fn text_column(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let name = &input.ident;
    quote! {
        impl ::engine::ColumnValue for #name {
            const SQL: &'static str = "text";
            const NULLABLE: bool = false;
            fn bind(&self, args: &mut ::engine::PgArguments, codec: &::engine::Codec) -> ::engine::Result<()> {
                ::engine::ColumnValue::bind(&::engine::enum_text(self)?, args, codec)
            }
            fn read(row: &::engine::PgRow, column: &str, codec: &::engine::Codec) -> ::engine::Result<Self> {
                let text: String = ::engine::ColumnValue::read(row, column, codec)?;
                ::engine::enum_value(column, &text)
            }
            fn read_option(row: &::engine::PgRow, column: &str, codec: &::engine::Codec) -> ::engine::Result<Option<Self>> {
                let text: Option<String> = ::engine::ColumnValue::read(row, column, codec)?;
                text.map(|text| ::engine::enum_value(column, &text)).transpose()
            }
            fn bind_null(args: &mut ::engine::PgArguments) -> ::engine::Result<()> {
                <String as ::engine::ColumnValue>::bind_null(args)
            }
            // Stored as serde spells it.
            fn print(value: ::engine::PgValueRef<'_>, out: &mut ::std::vec::Vec<u8>) -> ::engine::Result<()> {
                <String as ::engine::ColumnValue>::print(value, out)
            }
        }
    }
    .into()
}
