//! Metadata values.

/// A metadata value. Widths are dropped: a count is a count whether a file stores it in 16 or 64 bits.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A string.
    String(String),
    /// A list.
    Array(Array),
}

/// A metadata list; lists of lists are refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Numbers or booleans.
    Scalars(Vec<Value>),
    /// Strings.
    Strings(Vec<String>),
}

impl Value {
    /// As a count, if it is an integer not below zero.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// As a float.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// As a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// As a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// As a list of strings.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::Array(Array::Strings(values)) => Some(values),
            _ => None,
        }
    }

    /// As a list of scalars.
    pub fn as_scalars(&self) -> Option<&[Self]> {
        match self {
            Self::Array(Array::Scalars(values)) => Some(values),
            _ => None,
        }
    }
}
