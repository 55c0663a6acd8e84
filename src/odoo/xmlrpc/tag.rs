//! The elements that XML-RPC has. The text of a name is never kept.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    MethodResponse,
    Params,
    Param,
    Fault,
    Value,
    Array,
    Data,
    Struct,
    Member,
    Name,
    String,
    Int,
    I4,
    I8,
    ExI8,
    Boolean,
    Double,
    DateTime,
    Base64,
    Nil,
    ExNil,
}

impl Tag {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "value" => Self::Value,
            "member" => Self::Member,
            "name" => Self::Name,
            "string" => Self::String,
            "int" => Self::Int,
            "i4" => Self::I4,
            "i8" => Self::I8,
            "ex:i8" => Self::ExI8,
            "boolean" => Self::Boolean,
            "double" => Self::Double,
            "array" => Self::Array,
            "data" => Self::Data,
            "struct" => Self::Struct,
            "nil" => Self::Nil,
            "ex:nil" => Self::ExNil,
            "dateTime.iso8601" => Self::DateTime,
            "base64" => Self::Base64,
            "methodResponse" => Self::MethodResponse,
            "params" => Self::Params,
            "param" => Self::Param,
            "fault" => Self::Fault,
            _ => return None,
        })
    }
}
