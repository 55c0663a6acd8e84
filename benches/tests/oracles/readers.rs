//! What `xmlrpc` and `dxr` make of an answer, written as [`crate::xml_answers::tagged`] writes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

/// A transport that has the answer already.
struct Answered<'a>(&'a [u8]);

impl<'a> xmlrpc::Transport for Answered<'a> {
    type Stream = &'a [u8];

    fn transmit(
        self,
        _: &xmlrpc::Request<'_>,
    ) -> Result<Self::Stream, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0)
    }
}

pub fn by_xmlrpc(body: &[u8]) -> Json {
    match xmlrpc::Request::new("any").call(Answered(body)) {
        Ok(value) => json!(["result", of_xmlrpc(&value)]),
        Err(error) => match error.fault() {
            Some(fault) => json!(["fault", fault.fault_code, fault.fault_string]),
            None => json!(["error"]),
        },
    }
}

fn of_xmlrpc(value: &xmlrpc::Value) -> Json {
    use xmlrpc::Value;
    match value {
        Value::Nil => json!(["nil"]),
        Value::Bool(it) => json!(["bool", it]),
        Value::Int(it) => json!(["int", it.to_string()]),
        Value::Int64(it) => json!(["int", it.to_string()]),
        Value::Double(it) => json!(["double", it.to_bits().to_string()]),
        Value::String(it) => json!(["text", it]),
        Value::DateTime(it) => json!(["datetime", it.to_string().replace('-', "").get(..17)]),
        Value::Base64(it) => json!(["base64", STANDARD.encode(it)]),
        Value::Array(all) => json!(["array", all.iter().map(of_xmlrpc).collect::<Vec<_>>()]),
        Value::Struct(all) => {
            json!(["struct", all.iter().map(|(k, v)| json!([k, of_xmlrpc(v)])).collect::<Vec<_>>()])
        }
    }
}

pub fn by_dxr(body: &[u8]) -> Json {
    let text = std::str::from_utf8(body).unwrap();
    if let Ok(response) = dxr::MethodResponse::from_xml(text) {
        return json!(["result", of_dxr(&response.value)]);
    }
    match dxr::FaultResponse::from_xml(text) {
        Ok(response) => json!(["fault", response.fault.code(), response.fault.string()]),
        Err(_) => json!(["error"]),
    }
}

pub fn of_dxr(value: &dxr::Value) -> Json {
    use dxr::{TryFromValue, Value};
    match value {
        Value::Nil => json!(["nil"]),
        Value::Boolean(it) => json!(["bool", it]),
        Value::Integer(it) => json!(["int", it.to_string()]),
        Value::Long(it) => json!(["int", it.to_string()]),
        Value::Double(it) => json!(["double", it.to_bits().to_string()]),
        Value::String(it) => json!(["text", it]),
        Value::DateTime(it) => json!(["datetime", it.to_string()]),
        Value::Base64(it) => json!(["base64", STANDARD.encode(it)]),
        Value::Array(_) => {
            let all = Vec::<Value>::try_from_value(value).unwrap();
            json!(["array", all.iter().map(of_dxr).collect::<Vec<_>>()])
        }
        Value::Struct(_) => {
            let all = std::collections::BTreeMap::<String, Value>::try_from_value(value).unwrap();
            json!(["struct", all.iter().map(|(k, v)| json!([k, of_dxr(v)])).collect::<Vec<_>>()])
        }
        other => panic!("a type of its own: {other:?}"),
    }
}
