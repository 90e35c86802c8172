export function getDefaults(): object;
export class Tokenizer {
  lexer: { inlineQueue: { src: string, tokens: any[] }[] };
  blockquote(src: string): any;
  list(src: string): any;
  paragraph(src: string): any;
  lheading(src: string): any;
  inlineText(src: string): any;
}
export class Lexer {
  constructor(options: object);
  tokens: any[] & { links: Record<string, { href: string, title: string }> };
  lex(src: string): any[];
}
