//! Chat templates.

use crate::model::default_model;
use serde_json::json;
use tributary_weights::{ChatInput, ChatTemplate};

fn render(template: &ChatTemplate, messages: &[serde_json::Value]) -> Result<String, String> {
    template
        .render(&ChatInput { messages, tools: None, add_generation_prompt: true })
        .map_err(|error| error.to_string())
}

#[test]
fn the_default_model_gets_its_own_prompt() {
    let chat = default_model().chat.clone().unwrap();
    let prompt = render(&chat, &[json!({"role": "user", "content": "Hi"})]).unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    let system = json!({"role": "system", "content": "S"});
    let prompt = render(&chat, &[system, json!({"role": "user", "content": "{{ 7 * 7 }}"})]).unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n{{ 7 * 7 }}<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn python_methods_and_exceptions_work() {
    let source = "{% if messages[0].content.startswith('no') %}{{ raise_exception('refused') }}{% endif %}\
                  {{ bos_token + messages[0]['content'].strip() | upper }}";
    let template = ChatTemplate::new(source, "<s>".into(), "</s>".into()).unwrap();
    assert_eq!(render(&template, &[json!({"content": " a "})]).unwrap(), "<s>A");
    assert!(render(&template, &[json!({"content": "no"})]).unwrap_err().contains("refused"));
}

#[test]
fn a_template_cannot_run_forever() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(endless, String::new(), String::new()).unwrap();
    assert!(render(&template, &[]).is_err());
    assert!(ChatTemplate::new("{% for %}", String::new(), String::new()).is_err());
}
