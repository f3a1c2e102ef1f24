// The tracker with everything.
import "./all";
import { start } from "./core";

start();
