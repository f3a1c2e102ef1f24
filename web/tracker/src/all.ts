// Everything the tracker has.
import "./site";
import "./auto";
import "./vitals";
import "./layer";
