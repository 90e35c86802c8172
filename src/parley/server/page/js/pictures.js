/** The images that were shown with a message: only what is in it, as nothing is ever fetched. */
import { make } from "./dom.js";

/** @typedef {import("./fold.js").Part} Part */

const SHOWN = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/i;

/** @param {unknown} input  messages, or one text @returns {HTMLElement[]} */
export function pictures(input) {
  const parts = /** @type {Part[]} */ (Array.isArray(input) ? input : []);
  const images = parts.flatMap((part) => part.images ?? []);
  return images.map(({ url }, at) => {
    const name = images.length > 1 ? `Image ${at + 1} of ${images.length}` : "Image";
    return SHOWN.test(url) ? make("img", { src: url, alt: name, decoding: "async" }) : make("span", {}, `${name} cannot be shown`);
  });
}
