/** Small notes at the foot of the page that go by themselves, each with one thing to do about it. */
import { find, make } from "./dom.js";

/**
 * Show one until it is taken away. @param {string} text @param {string} label  of its button @param {() => void} act
 * @returns {() => void} takes it away
 */
export function toast(text, label, act) {
  const element = make("div", { class: "toast" }, make("span", { dir: "auto" }, text), make("button", { type: "button", onclick: () => {
    element.remove();
    act();
  } }, label));
  find("toasts").append(element);
  return () => element.remove();
}
