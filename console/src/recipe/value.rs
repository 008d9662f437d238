//! A serde deserialiser over TOML values that knows where it is: errors carry the path, and the fields that a struct
//! announces are compared with the keys that are there.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

/// A key or a value of a recipe does not fit.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueError {
    path: Vec<String>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq)]
enum Problem {
    /// The last element of the path is no field; these are.
    UnknownKey(Vec<String>),
    UnknownVariant(String, Vec<String>),
    Other(String),
}

impl ValueError {
    fn new(problem: Problem) -> Self {
        Self { path: Vec::new(), problem }
    }

    /// The same error seen from the table or list above.
    fn below(mut self, key: impl Into<String>) -> Self {
        self.path.insert(0, key.into());
        self
    }

    /// The path of the wrong key, such as `data.batch`.
    pub fn path(&self) -> String {
        self.path.join(".")
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        match &self.problem {
            Problem::UnknownKey(known) => {
                write!(formatter, "`{path}` is no key of the recipe")?;
                let key = self.path.last().map(String::as_str).unwrap_or_default();
                match nearest(key, known) {
                    Some(near) => {
                        let parent = path.strip_suffix(key).unwrap_or_default();
                        write!(formatter, "; did you mean `{parent}{near}`?")
                    }
                    None => write!(formatter, "; known here: {}", known.join(", ")),
                }
            }
            Problem::UnknownVariant(name, known) => {
                write!(formatter, "`{path}`: `{name}` is none of {}", known.join(", "))?;
                nearest(name, known).map_or(Ok(()), |near| write!(formatter, "; did you mean `{near}`?"))
            }
            Problem::Other(message) if path.is_empty() => formatter.write_str(message),
            Problem::Other(message) => write!(formatter, "`{path}`: {message}"),
        }
    }
}

impl std::error::Error for ValueError {}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey(owned(expected))).below(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownVariant(variant.to_owned(), owned(expected)))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The known name that a typing error away from `name` would be.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let scored = known.iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    let (distance, best) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.chars().count() / 3).max(1)).then_some(best)
}

pub(super) fn from_table<T: DeserializeOwned>(table: Table) -> Result<T, ValueError> {
    T::deserialize(Node(Value::Table(table)))
}

struct Node(Value);

impl<'de> IntoDeserializer<'de, ValueError> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(flag) => visitor.visit_bool(flag),
            Value::Datetime(moment) => visitor.visit_string(moment.to_string()),
            Value::Array(items) => visitor.visit_seq(Items { items: items.into_iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(Entries::new(table)),
        }
    }

    /// TOML has no null: what is there is some.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if let Value::Table(table) = &self.0
            && let Some(key) = table.keys().find(|key| !fields.contains(&key.as_str()))
        {
            return Err(ValueError::unknown_field(key, fields));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let (name, content) = match self.0 {
            Value::String(name) => (name, None),
            Value::Table(table) if table.len() == 1 => match table.into_iter().next() {
                Some((name, content)) => (name, Some(content)),
                None => return Err(ValueError::invalid_length(0, &visitor)),
            },
            Value::Table(_) => return Err(ValueError::invalid_type(Unexpected::Map, &visitor)),
            // Any other value is refused by the visitor in its own words.
            other => return Node(other).deserialize_any(visitor),
        };
        visitor.visit_enum(Variant { name, content })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items {
    items: std::iter::Enumerate<std::vec::IntoIter<Value>>,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Node(item)).map(Some).map_err(|error| error.below(index.to_string()))
    }
}

struct Entries {
    entries: toml::map::IntoIter<String, Value>,
    current: Option<(String, Value)>,
}

impl Entries {
    fn new(table: Table) -> Self {
        Self { entries: table.into_iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        self.current = self.entries.next();
        let Some((key, _)) = &self.current else { return Ok(None) };
        let deserializer: StringDeserializer<ValueError> = key.clone().into_deserializer();
        seed.deserialize(deserializer).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let (key, value) = self.current.take().ok_or_else(|| ValueError::custom("a value without a key"))?;
        seed.deserialize(Node(value)).map_err(|error| error.below(key))
    }
}

struct Variant {
    name: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ValueError;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content), ValueError> {
        let name: StringDeserializer<ValueError> = self.name.clone().into_deserializer();
        Ok((seed.deserialize(name)?, Content { name: self.name, content: self.content }))
    }
}

struct Content {
    name: String,
    content: Option<Value>,
}

impl Content {
    fn read<T>(self, read: impl FnOnce(Node) -> Result<T, ValueError>) -> Result<T, ValueError> {
        // A variant with content but written as its bare name: as if its table were empty.
        let content = self.content.unwrap_or_else(|| Value::Table(Table::new()));
        read(Node(content)).map_err(|error| error.below(self.name))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(ValueError::custom(format_args!("`{}` takes no value", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ValueError> {
        self.read(|node| seed.deserialize(node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.read(|node| node.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.read(|node| node.deserialize_struct("", fields, visitor))
    }
}
