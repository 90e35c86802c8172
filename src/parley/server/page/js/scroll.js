/**
 * Stay at the end while a reply grows, until the reader scrolls up; again once they come back.
 *
 * A sentinel below the thread tells whether its end is in sight; the size of the thread tells when it grew. Only a
 * movement upwards by the reader lets go, never the growth itself.
 */
import { show } from "./dom.js";

const NEAR = 48; // pixels from the end that still are the end

export class Follower {
  /** @param {HTMLElement} scroller @param {HTMLElement} content @param {HTMLElement} sentinel @param {HTMLElement} jump */
  constructor(scroller, content, sentinel, jump) {
    this.scroller = scroller;
    this.jump = jump;
    this.stuck = true;
    this.seen = true;
    this.top = 0;
    this.height = 0;
    new IntersectionObserver(
      ([entry]) => {
        this.seen = entry.isIntersecting;
        if (this.seen) this.stuck = true;
        this.tell();
      },
      { root: scroller, rootMargin: `0px 0px ${NEAR}px 0px` },
    ).observe(sentinel);
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(content);
    sizes.observe(scroller);
    scroller.addEventListener("scroll", () => this.moved(), { passive: true });
    jump.addEventListener("click", () => this.end());
  }

  /** Go to the end and stay there. */
  end() {
    this.stuck = true;
    this.keep();
  }

  keep() {
    if (this.stuck) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.tell();
  }

  moved() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    // The browser itself moves up when the content shrinks; that is nobody's wish. The sentinel tells too late here.
    const up = scrollTop < this.top - 2 && scrollHeight >= this.height;
    if (up && scrollHeight - scrollTop - clientHeight > NEAR) {
      this.stuck = false;
      this.seen = false;
    }
    this.top = scrollTop;
    this.height = scrollHeight;
    this.tell();
  }

  tell() {
    this.scroller.classList.toggle("stuck", this.stuck);
    show(this.jump, !this.stuck && !this.seen);
  }
}
