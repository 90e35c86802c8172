/** The images that were shown with a message: only what is in it, as nothing is ever fetched. */
import { make } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./fold.js").Part} Part */

const SHOWN = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/i;

/** @param {unknown} input  messages, or one text @returns {HTMLElement[]} */
export function pictures(input) {
  const parts = /** @type {Part[]} */ (Array.isArray(input) ? input : []);
  const images = parts.flatMap((part) => part.images ?? []);
  return images.map(({ url }, at) => {
    const name = images.length > 1 ? t("Image {at} of {all}", { at: at + 1, all: images.length }) : t("Image");
    return SHOWN.test(url) ? make("img", { src: url, alt: name, decoding: "async" }) : make("span", {}, t("{image} cannot be shown", { image: name }));
  });
}
