// What classes may be called: what a domain's file and a folder of images can hold.

import { Refusal } from "./description";

const CLASSES_LIMIT = 100_000;
const LABEL_LIMIT = 255; // characters
const CLASSES_LIMIT_BYTES = 900_000;

/** Refuse classes that do not fit into a domain's file. */
export function checkClasses(classes: string[]): void {
  const problem = problemOf(classes);
  if (problem) throw new Refusal(`These classes cannot be: ${problem}.`);
}

/** Refuse a name that no folder of images could have. */
export function checkClassName(name: string): void {
  if (!name || name.startsWith(".") || /[/\0]/.test(name))
    throw new Refusal(
      `A class cannot be called “${name}”: give a name that does not begin with “.”, and has no “/” in it.`,
    );
}

function problemOf(classes: string[]): string | undefined {
  if (!classes.length || classes.length > CLASSES_LIMIT) return `there are ${classes.length} of them`;
  if (new Set(classes).size < classes.length) return "one is there twice";
  if (classes.some((name) => [...name].length > LABEL_LIMIT))
    return `a name has more than ${LABEL_LIMIT} characters`;
  if (JSON.stringify(JSON.stringify(classes)).length > CLASSES_LIMIT_BYTES) return "the names are too long";
  return undefined;
}
