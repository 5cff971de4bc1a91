//! Components that no compiler makes: their exports do what is written here.

/// A component of the tool interface that answers every call the same.
pub(crate) struct Handwritten<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) schema: &'a str,
    pub(crate) answer: &'a [u8],
    /// Core instructions at the start of `call`.
    pub(crate) body: &'a str,
    /// Core instructions at the start of `describe`.
    pub(crate) describe_body: &'a str,
}

/// One without anything wrong.
pub(crate) const PLAIN: Handwritten<'static> = Handwritten {
    name: "plain",
    description: "Plain.",
    schema: r#"{"type": "object"}"#,
    answer: b"null",
    body: "",
    describe_body: "",
};

impl Handwritten<'_> {
    pub(crate) fn component(&self) -> Vec<u8> {
        let escaped = |bytes: &[u8]| bytes.iter().map(|b| format!("\\{b:02x}")).collect::<String>();
        let word = |n: usize| escaped(&u32::try_from(n).unwrap().to_le_bytes());
        let texts = [self.name.as_bytes(), self.description.as_bytes(), self.schema.as_bytes(), self.answer];
        let mut at = 1_024;
        let mut data = String::new();
        let mut fields = Vec::new();
        for text in texts {
            data += &format!("(data (i32.const {at}) \"{}\")\n", escaped(text));
            fields.push(word(at) + &word(text.len()));
            at += text.len();
        }
        // At 64 the record of `describe`, without a result schema; at 128 the ok of `call`.
        let described = format!("{}{}{}{}", fields[0], fields[1], fields[2], word(0));
        let answered = format!("{}{}", word(0), fields[3]);
        let text = format!(
            r#"(component
              (core module $m
                (memory (export "memory") 16)
                (global $free (mut i32) (i32.const 524288))
                {data}
                (data (i32.const 64) "{described}")
                (data (i32.const 128) "{answered}")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                  (local i32)
                  global.get $free local.set 4
                  global.get $free local.get 3 i32.add i32.const 7 i32.add i32.const -8 i32.and global.set $free
                  local.get 4)
                (func (export "describe") (result i32) {describe_body} i32.const 64)
                (func (export "call") (param i32 i32) (result i32) {body} i32.const 128))
              (core instance $i (instantiate $m))
              (type $description (record (field "name" string) (field "description" string)
                (field "parameters-schema" string) (field "result-schema" (option string))))
              (type $failure (variant (case "invalid-arguments" string) (case "failed" string)))
              (func $describe (result $description)
                (canon lift (core func $i "describe") (memory (core memory $i "memory"))))
              (func $call (param "arguments" string) (result (result string (error $failure)))
                (canon lift (core func $i "call") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
              (component $c
                (type $d (record (field "name" string) (field "description" string)
                  (field "parameters-schema" string) (field "result-schema" (option string))))
                (import "description" (type $description (eq $d)))
                (type $f (variant (case "invalid-arguments" string) (case "failed" string)))
                (import "failure" (type $failure (eq $f)))
                (import "describe" (func $describe (result $description)))
                (import "call" (func $call (param "arguments" string) (result (result string (error $failure)))))
                (export $de "description" (type $d))
                (export $fe "failure" (type $f))
                (export "describe" (func $describe) (func (result $de)))
                (export "call" (func $call)
                  (func (param "arguments" string) (result (result string (error $fe))))))
              (instance $tool (instantiate $c
                (with "description" (type $description)) (with "failure" (type $failure))
                (with "describe" (func $describe)) (with "call" (func $call))))
              (export "ironclaw:tool/tool@0.1.0" (instance $tool)))"#,
            body = self.body,
            describe_body = self.describe_body,
        );
        wat::parse_str(text).unwrap()
    }
}
